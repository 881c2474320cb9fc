package dl4fiji

import java.awt.GraphicsEnvironment

/** What depends on there being windows. */
class Gui {
    /** Tell whether this Fiji shows windows. */
    static boolean available() {
        !GraphicsEnvironment.isHeadless() && ij.IJ.getInstance() != null
    }

    /** Tell whether a macro called the running command. */
    static boolean inMacro() { ij.IJ.isMacro() || ij.Macro.options != null }

    /** Write a line to ImageJ's log; without windows to standard output. */
    static void log(String line) {
        if (available()) ij.IJ.log(line)
        else println(line)
    }

    /** Break a sentence into lines that fit a dialog. */
    static String wrap(String text, int width = 90) {
        text.replaceAll("(.{1,$width})(\\s+|\$)", '$1\n').trim()
    }

    /** Do {@code work} on the thread of events and wait for it. */
    static <T> T onEvents(Closure<T> work) {
        if (javax.swing.SwingUtilities.isEventDispatchThread()) return work()
        T result = null
        Throwable error = null
        javax.swing.SwingUtilities.invokeAndWait {
            try { result = work() } catch (Throwable thrown) { error = thrown }
        }
        if (error) throw error
        return result
    }
}
