package dl4fiji

import ij.ImagePlus
import ij.gui.Roi
import ij.io.RoiEncoder
import ij.plugin.frame.RoiManager
import java.awt.HeadlessException
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

/**
 * Outlines drawn in Fiji as targets of a training: those of the ROI Manager, and the overlays of open images. To the
 * service they go as an ROI set, which it fills as ImageJ does.
 */
class Outlines {
    static final String MANAGER = 'ROI Manager'
    static final String OVERLAY = 'overlay of '

    /** Return what can be named: overlays of open images, and the ROI Manager where it holds outlines. */
    static List<String> names() {
        List<String> overlays = OpenImages.titles().findAll { OpenImages.find(it)?.overlay?.size() }.collect { OVERLAY + it }
        return managed() ? overlays + [MANAGER] : overlays
    }

    /** Return the outlines that {@code text} names, or null if it names none; {@link Fault} if there are none yet. */
    static List<Roi> find(String text) {
        String how = 'draw around each object and press t, or choose Image ▸ Overlay ▸ Add Selection'
        if (text == MANAGER) {
            if (!managed()) throw new Fault("The ROI Manager holds no outlines: $how.")
            return managed()
        }
        if (!text.startsWith(OVERLAY)) return null
        ImagePlus image = OpenImages.find(text.substring(OVERLAY.length()))
        if (image == null) return null
        if (!image.overlay?.size()) throw new Fault("The open image '$image.title' has no overlay with outlines: $how.")
        return image.overlay.toArray() as List<Roi>
    }

    /** Write outlines as an ROI set into {@code folder}. */
    static File save(List<Roi> outlines, String title, File folder) {
        File file = new File(folder, "${OpenImages.fileName(title)}_rois.zip")
        new ZipOutputStream(new BufferedOutputStream(new FileOutputStream(file))).withCloseable { zip ->
            outlines.eachWithIndex { roi, index ->
                // Names in the file need only differ; the outline's own name is within its content.
                zip.putNextEntry(new ZipEntry(String.format('%06d.roi', index + 1)))
                zip.write(RoiEncoder.saveAsByteArray(roi))
                zip.closeEntry()
            }
        }
        return file
    }

    /** Return an image's overlay as its file carries it, or null. */
    static byte[][] encoded(ImagePlus image) {
        image.overlay?.size() ? image.overlay.toArray().collect { RoiEncoder.saveAsByteArray(it) } as byte[][] : null
    }

    /** Return what the ROI Manager holds; without windows there is none. */
    private static List<Roi> managed() {
        try {
            return (RoiManager.instance2?.roisAsArray ?: []) as List<Roi>
        } catch (HeadlessException ignored) {
            return []
        }
    }
}
