package dl4fiji

import ij.IJ
import ij.ImagePlus
import ij.gui.Overlay
import ij.gui.Roi
import ij.io.RoiDecoder
import ij.measure.ResultsTable
import ij.plugin.frame.RoiManager
import ij.process.LUT
import java.awt.Color
import java.util.zip.ZipFile

/** Objects that were found in an image: label image, ROIs and table, as they lie in files beside one another. */
class FoundObjects {
    /** More ROIs than this make ImageJ slow; they are in their zip. */
    static final int MOST_ROIS = 20_000
    private static final int COLORS = 255
    private static final double GOLDEN = 0.618034d

    private final File labels
    private final String stem

    /** @param labels the label image; the others have its name and an ending */
    FoundObjects(File labels) {
        this.labels = labels
        this.stem = labels.name.replaceAll(/(?i)\.tiff?$/, '')
    }

    File getRois() { new File(labels.parentFile, "${stem}_rois.zip") }

    File getTable() { new File(labels.parentFile, "${stem}_objects.csv") }

    /** Return the label images among the results of a prediction. */
    static List<File> among(List<String> files) {
        files.findAll { it.endsWith('.tif') }.collect { new File(it) }.findAll { new FoundObjects(it).rois.file }
    }

    /**
     * Show everything: the label image in colors, outlines on the image they were found in and in the ROI Manager, the
     * table. Without windows nothing is shown and the images have their overlays all the same.
     *
     * @param title of the label image
     * @param source the image they were found in, null if it is not open: the outlines then lie on the label image
     * @param manager whether the ROI Manager gets the outlines
     */
    ImagePlus show(String title, ImagePlus source, boolean manager) {
        ImagePlus image = OpenImages.show(labels, title)
        colored(image, highest())
        List<Roi> outlines = outlines()
        if (outlines.size() > MOST_ROIS)
            Gui.log("${outlines.size()} outlines are too many to be shown together; they are in $rois.")
        else overlay(source ?: image, outlines)
        if (!Gui.available()) return image
        if (manager && outlines.size() <= MOST_ROIS) fill(outlines)
        ResultsTable measured = ResultsTable.open(table.path)
        if (measured != null) measured.show("${stem} objects")
        return image
    }

    /** Return the outlines in the zip, in its order. */
    List<Roi> outlines() {
        new ZipFile(rois).withCloseable { zip ->
            zip.entries().collect { entry ->
                new RoiDecoder(zip.getInputStream(entry).bytes, entry.name.replaceAll(/\.roi$/, '')).roi
            }
        }
    }

    /** Return the highest label in the table. */
    private int highest() {
        int highest = 1
        table.eachLine('UTF-8') { String line, int number ->
            if (number > 1) highest = Math.max(highest, line.tokenize(',')[0] as int)
        }
        return highest
    }

    /** Give each label a color of its own, neighboring ones far apart, and black to what is no object. */
    static void colored(ImagePlus image, int highest) {
        byte[] red = new byte[256], green = new byte[256], blue = new byte[256]
        (1..COLORS).each { index ->
            Color color = Color.getHSBColor((float) (index * GOLDEN), (float) (0.55d + 0.4d * (index % 3) / 2), (float) (index % 2 ? 1d : 0.8d))
            red[index] = (byte) color.red
            green[index] = (byte) color.green
            blue[index] = (byte) color.blue
        }
        image.lut = new LUT(red, green, blue)
        image.setDisplayRange(0, Math.max(COLORS, highest))
        image.updateAndDraw()
    }

    private static void overlay(ImagePlus image, List<Roi> outlines) {
        Overlay overlay = new Overlay()
        outlines.each { Roi roi ->
            roi.strokeColor = Color.YELLOW
            overlay.add(roi)
        }
        overlay.drawLabels(false)
        image.overlay = overlay
        image.updateAndDraw()
    }

    private static void fill(List<Roi> outlines) {
        RoiManager manager = RoiManager.instance ?: new RoiManager()
        manager.reset()
        outlines.each { manager.addRoi(it) }
    }
}
