package dl4fiji

import ij.IJ
import ij.gui.MessageDialog
import ij.macro.Interpreter

/** What the menu scripts call. Each command gives its outputs to the script and, for macros, to getInfo("dl4fiji.…"). */
class Commands {
    private static final List<String> OUTPUTS = ['job', 'state', 'model', 'folder', 'files', 'objects', 'report', 'url', 'error']

    void train(Script script, String network, String title, String description) {
        run(script, title) { new Train(network, title, description).run(it) }
    }

    void predict(Script script) { run(script, 'DL4Fiji Predict') { new Predict().run(it) } }

    void runWithCsbdeep(Script script) { run(script, 'Run with CSBDeep') { new Csbdeep().run(it) } }

    void runWithStardist(Script script) { run(script, 'Run with StarDist') { new Stardist().run(it) } }

    void monitorJob(Script script) { run(script, 'Monitor Job') { new Jobs().monitor(it) } }

    void cancelJob(Script script) { run(script, 'Cancel Job') { new Jobs().cancel(it) } }

    void resumeJob(Script script) { run(script, 'Resume Job') { new Jobs().resume(it) } }

    void installModel(Script script) { run(script, 'Install Model in Fiji') { new Models().install(it) } }

    void openModelFolder(Script script) { run(script, 'Open Model Folder') { new Models().open(it) } }

    void openReport(Script script) { run(script, 'Open Report') { new Models().openReport(it) } }

    void startService(Script script) { run(script, 'Start DL4Fiji Service') { new ServiceCommands().start(it) } }

    void stopService(Script script) { run(script, 'Stop DL4Fiji Service') { new ServiceCommands().stop(it) } }

    void settings(Script script) { run(script, 'DL4Fiji Settings') { new ServiceCommands().settings(it) } }

    void help(Script script) { run(script, 'DL4Fiji Help') { new ServiceCommands().help(it) } }

    private static void run(Script script, String title, Closure<Map<String, Object>> work) {
        OUTPUTS.each { System.clearProperty("dl4fiji.$it") }
        Object module = script.binding.getVariable('org.scijava.script.ScriptModule')
        // told here already: SciJava is not to show each output in a window
        module.info.outputs().each { module.resolveOutput(it.name) }
        Map<String, Object> outputs = [error: '']
        try {
            outputs += work(module)
        } catch (Canceled ignored) {
            IJ.showStatus('')
        } catch (Fault fault) {
            outputs.error = fault.message
            fault.problems.drop(1).each { Gui.log("Also: $it") }
        } catch (Exception error) {
            StringWriter trace = new StringWriter()
            error.printStackTrace(new PrintWriter(trace))
            Gui.log(trace.toString())
            outputs.error = "$title met an error of its own (${error.class.simpleName}: ${error.message}): " +
                'please report it with the lines above from the Log window.'.toString()
        }
        outputs.each { name, value ->
            script.binding.setVariable(name, value?.toString())
            System.setProperty("dl4fiji.$name", value?.toString() ?: '')
        }
        if (outputs.error) show(title, outputs.error.toString())
    }

    /**
     * Tell an error and end the macro that runs the command.
     *
     * Not by IJ.error: within a macro that uses a GenericDialog, which needs windows, and which in Fiji takes the
     * options of the macro for its own and does not show.
     */
    private static void show(String title, String sentence) {
        IJ.showProgress(1.0d)
        if (Gui.available()) {
            IJ.showStatus(sentence)
            new MessageDialog(IJ.getInstance(), title, Gui.wrap(sentence))
        } else {
            println(sentence.contains(title) ? sentence : "$title: $sentence")
        }
        Interpreter macro = Interpreter.instance
        if (macro == null) return
        macro.ignoreErrors = true
        macro.abort(sentence)
    }
}
