package dl4fiji

import ij.ImagePlus
import ij.gui.Roi

/**
 * Turns what a user names as images into paths that the service can read: the title of an open image, outlines
 * ({@link Outlines}), or a path.
 *
 * Open images and outlines are written to a fresh folder of the service's inbox.
 */
class Handover {
    /** Larger images are not written merely to check them while the dialog is open. */
    static final long CHECK_BYTES = 256L << 20

    private final Client client
    private final Map<String, File> written = [:]

    Handover(Client client) { this.client = client }

    /** Tell whether {@code text} names an open image that is too large to be handed over for a check. */
    static boolean tooLargeToCheck(String text) {
        ImagePlus image = open(text)
        return image != null && OpenImages.size(image) > CHECK_BYTES
    }

    /** Return a path for {@code text}; an empty text stays empty. Images and outlines are written once. */
    String path(String text) {
        ImagePlus image = open(text)
        if (image != null) return once("$image.ID $image.title") { File folder -> OpenImages.save(image, folder) }
        List<Roi> outlines = Outlines.find(text)
        if (outlines == null) return home(text)
        return once(text) { File folder -> Outlines.save(outlines, text, folder) }
    }

    private String once(String key, Closure<File> write) {
        if (!written[key]?.exists()) written[key] = write(new File(((Map) client.post('/inbox')).folder as String))
        return written[key].path
    }

    /** Remove what was written: it was for a check, and the images may change until they are needed. */
    void forget() {
        written.values().each { file ->
            file.delete()
            file.parentFile.delete()
        }
        written.clear()
    }

    /** Put the user's home in place of a leading ~. */
    static String home(String path) {
        path == '~' || path.startsWith('~/') ? System.getProperty('user.home') + path.substring(1) : path
    }

    private static ImagePlus open(String text) { text ? OpenImages.find(text) : null }
}
