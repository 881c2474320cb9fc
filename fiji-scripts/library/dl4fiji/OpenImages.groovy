package dl4fiji

import ij.CompositeImage
import ij.IJ
import ij.ImagePlus
import ij.ImageStack
import ij.VirtualStack
import ij.WindowManager
import ij.gui.Plot
import ij.io.FileInfo
import ij.io.FileSaver
import ij.io.TiffEncoder
import ij.process.ImageProcessor

/** Images that are open in Fiji, and how they get to the service: as ImageJ TIFF in its inbox. */
class OpenImages {
    private static final String NOISY = /(?i).*(noisy|noise|low|raw|input|source|short).*/
    private static final String CLEAN = /(?i).*(clean|truth|gt|high|target|long|average|avg|mask|label|seg).*/

    /** Return the titles of the open images, oldest first; plots are images, too, but nothing to train on. */
    static List<String> titles() { open()*.title }

    private static List<ImagePlus> open() {
        (WindowManager.IDList as List ?: []).collect { WindowManager.getImage(it as int) }
            .findAll { it != null && it.getProperty(Plot.PROPERTY_KEY) == null }
    }

    /** Return the open image of that title, or null; a title that two images share is refused. */
    static ImagePlus find(String title) {
        List<ImagePlus> found = open().findAll { it.title == title }
        if (found.size() > 1)
            throw new Fault("${found.size()} open images are called '$title': rename one by Image ▸ Rename…, or close it.")
        return found ? found[0] : null
    }

    /** Return two open images that look like source and target, where there are two. */
    static List<String> proposePair() {
        List<String> all = titles()
        if (all.size() < 2) return all ? [all[0], ''] : ['', '']
        String target = all.find { it ==~ CLEAN && !(it ==~ NOISY) }
        String source = all.find { it != target && it ==~ NOISY } ?: all.find { it != target }
        return [source, target ?: all.find { it != source }]
    }

    /** Return the bytes that a handed-over image will need, about. */
    static long size(ImagePlus image) {
        (long) image.width * image.height * image.stackSize * Math.max(1, image.bytesPerPixel)
    }

    /**
     * Write an open image to {@code folder}, under its title made fit for a file name; the image itself stays as it is.
     *
     * Axes, pixel size, channel colours, display ranges, slice labels and the overlay go with it. Values of 8 and 16-bit images that
     * have a calibration function (signed 16-bit among them) are written as the 32-bit numbers that ImageJ shows.
     */
    static File save(ImagePlus image, File folder) {
        File file = new File(folder, "${fileName(image.title)}.tif")
        ImagePlus plain = image.calibration.calibrated() && image.bitDepth in [8, 16] ? calibrated(image) : image
        try {
            write(plain, file)
        } catch (IOException error) {
            file.delete()
            throw new Fault("The open image '${image.title}' could not be handed over to $folder (${error.message}): " +
                'free some space on that disk.')
        }
        return file
    }

    /** Return a title made fit for a file name, without ending. */
    static String fileName(String title) {
        String name = title.replaceAll(/(?i)\.tiff?$/, '').replaceAll(/[^\p{L}\p{N} ._+()-]/, '_').trim()
        return (name =~ /[\p{L}\p{N}]/).find() ? name.take(80) : 'image'
    }

    /** As ij.io.FileSaver does it, which besides renames the image and marks it as saved. */
    private static void write(ImagePlus image, File file) {
        FileSaver saver = new FileSaver(image)
        FileInfo info = image.fileInfo
        ImageStack stack = image.getStack()
        if (image.stackSize > 1 && stack.virtual) info.virtualStack = (VirtualStack) stack
        info.info = image.infoProperty
        info.description = saver.descriptionString
        info.properties = image.propertiesAsArray
        info.overlay = Outlines.encoded(image)
        if (image.stackSize > 1 || image.hasImageStack()) {
            String[] labels = (1..image.stackSize).collect { stack.getSliceLabel(it) } as String[]
            if (labels.any { it != null }) info.sliceLabels = labels
        }
        if (image.composite) saver.saveDisplayRangesAndLuts(image, info)
        new DataOutputStream(new BufferedOutputStream(new FileOutputStream(file), 1 << 20)).withCloseable {
            new TiffEncoder(info).write(it)
        }
    }

    private static ImagePlus calibrated(ImagePlus image) {
        ImageStack values = new CalibratedStack(image)
        ImageStack stack = image.stackSize > 1 ? values : new ImageStack(image.width, image.height).with {
            addSlice(image.getStack().getSliceLabel(1), values.getProcessor(1))
            it
        }
        ImagePlus result = new ImagePlus(image.title, stack)
        result.setDimensions(image.NChannels, image.NSlices, image.NFrames)
        result.openAsHyperStack = image.hyperStack
        result.overlay = image.overlay
        result.calibration = image.calibration.copy().with { disableDensityCalibration(); it }
        return image.composite ? new CompositeImage(result, ((CompositeImage) image).mode) : result
    }

    /** Open a file and show it where there are windows. */
    static ImagePlus show(File file, String title = null) {
        ImagePlus image = IJ.openImage(file.path)
        if (image == null) throw new Fault("Fiji cannot open the result $file: look at it by File ▸ Import ▸ Bio-Formats.")
        if (title) image.title = title
        if (Gui.available()) {
            image.show()
            if (image.bitDepth in [16, 32]) IJ.resetMinAndMax(image)
        }
        return image
    }

    /** The planes of an image as 32-bit numbers by its calibration function, one at a time. */
    private static class CalibratedStack extends VirtualStack {
        private final ImagePlus image

        CalibratedStack(ImagePlus image) {
            super(image.width, image.height, null, null)
            this.image = image
        }

        ImageProcessor getProcessor(int n) {
            ImageProcessor plane = image.getStack().getProcessor(n)
            plane.calibrationTable = image.calibration.CTable
            return plane.convertToFloat()
        }

        int getSize() { image.stackSize }

        int size() { image.stackSize }

        String getSliceLabel(int n) { image.getStack().getSliceLabel(n) }

        int getBitDepth() { 32 }
    }
}
