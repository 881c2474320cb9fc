package dl4fiji

/** What dialogs remember until Fiji is closed; macros never see it. */
class Session {
    /** Return the texts of the last dialog of that title. */
    static Map<String, String> last(String title) {
        [:] + ((Map<String, String>) ij.IJ.getProperty("dl4fiji.last.$title" as String) ?: [:])
    }

    static void keep(String title, Map<String, String> values) {
        ij.IJ.setProperty("dl4fiji.last.$title" as String, [:] + values)
    }
}
