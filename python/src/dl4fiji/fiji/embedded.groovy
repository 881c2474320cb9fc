package dl4fiji.embedded

import ij.CommandListener
import ij.Executer
import ij.IJ
import ij.Menus
import ij.macro.Interpreter
import ij.plugin.PlugIn
import java.awt.HeadlessException
import java.awt.Menu
import java.awt.MenuItem
import org.codehaus.groovy.jsr223.GroovyScriptEngineFactory
import org.scijava.Context
import org.scijava.module.ModuleRunner
import org.scijava.module.ModuleService
import org.scijava.module.process.PostprocessorPlugin
import org.scijava.module.process.PreprocessorPlugin
import org.scijava.plugin.PluginInfo
import org.scijava.plugin.PluginService
import org.scijava.script.AdaptedScriptLanguage
import org.scijava.script.ScriptInfo
import org.scijava.script.ScriptLanguage

/** Groovy as a language of SciJava's ScriptService, which knows languages from SciJava plugins only. */
class GroovyLanguage extends AdaptedScriptLanguage {
    GroovyLanguage() { super(new GroovyScriptEngineFactory()) }

    String getLanguageName() { 'Groovy' }
}

/** Runs a menu script when ImageJ 1 is asked for its command, from the menu, a macro or {@code IJ.run}. */
class ScriptCommand implements PlugIn {
    void run(String path) { Embedded.runScript(new File(path), null) }
}

/** What plain ImageJ 1 and SciJava need to run the same scripts and macros as Fiji. */
class Embedded {
    /** Commands that are written in ij.Menus itself and not in ImageJ's properties. */
    private static final Map<String, String> OUTSIDE_PROPERTIES = [
        '8-bit', '16-bit', '32-bit', '8-bit Color', 'RGB Color', 'RGB Stack', 'HSB Stack'].collectEntries {
            [it, "ij.plugin.Converter(\"$it\")" as String] } + [
        'Close': 'ij.plugin.Commands("close")', 'Close All': 'ij.plugin.Commands("close-all")',
        'Invert': 'ij.plugin.filter.Filters("invert")', 'Smooth': 'ij.plugin.filter.Filters("smooth")',
        'Sharpen': 'ij.plugin.filter.Filters("sharpen")', 'Find Edges': 'ij.plugin.filter.Filters("edge")',
        'Crop': 'ij.plugin.Resizer("crop")', 'Duplicate...': 'ij.plugin.Duplicator', 'Scale...': 'ij.plugin.Scaler',
        'Rename...': 'ij.plugin.SimpleCommands("rename")', 'Properties...': 'ij.plugin.filter.ImageProperties',
        'Find Maxima...': 'ij.plugin.filter.MaximumFinder', 'Enhance Contrast...': 'ij.plugin.ContrastEnhancer',
        'Image Calculator...': 'ij.plugin.ImageCalculator', 'Measure': 'ij.plugin.filter.Analyzer',
        'Subtract Background...': 'ij.plugin.filter.BackgroundSubtracter',
        'Analyze Particles...': 'ij.plugin.filter.ParticleAnalyzer']

    private static Context context

    /** Start SciJava and ImageJ, with the scripts below {@code scripts} as commands under the menu Plugins. */
    static Context start(File scripts, boolean headless) {
        // with services; `new Context()` from Python would pick the constructor for none
        context = new Context(false)
        PluginInfo language = new PluginInfo(GroovyLanguage, ScriptLanguage)
        PluginService plugins = context.service(PluginService)
        plugins.addPlugin(language)
        IJ.classLoader = Embedded.classLoader
        if (headless) {
            Menus.pluginsTable = builtInCommands()
            Executer.addCommandListener({ command -> execute(command) } as CommandListener)
        }
        else new ij.ImageJ(ij.ImageJ.STANDALONE).exitWhenQuitting(false)
        addCommands(new File(scripts, 'Plugins'), 'Plugins', headless ? null : Menus.menuBar)
        return context
    }

    /** Run a script on this thread, where ImageJ finds the options of a macro, and return its outputs by name. */
    static Map<String, Object> runScript(File file, Map<String, Object> inputs) {
        def module = new ScriptInfo(context, file).createModule()
        context.inject(module)
        inputs?.each { name, value ->
            def item = module.info.getInput(name)
            if (item == null) throw new IllegalArgumentException("${file.name} has no input $name")
            module.setInput(name, context.service('org.scijava.convert.ConvertService').convert(value, item.type))
            module.resolveInput(name)
        }
        PluginService plugins = context.service(PluginService)
        new ModuleRunner(context, module, plugins.createInstancesOfType(PreprocessorPlugin),
            plugins.createInstancesOfType(PostprocessorPlugin)).run()
        return module.outputs
    }

    /** ImageJ learns its commands while it builds its menus, which it cannot do without windows. */
    private static Hashtable builtInCommands() {
        Hashtable commands = new Hashtable(OUTSIDE_PROPERTIES)
        Properties properties = new Properties()
        IJ.getResourceAsStream('/IJ_Props.txt').withCloseable { properties.load(it) }
        properties.values().each { entry ->
            def match = entry =~ /^"([^"]+)",\s*(\S.*)$/
            if (match) commands.put(match.group(1).replaceAll(/\[\w+\]$/, ''), match.group(2).trim())
        }
        return commands
    }

    /**
     * Run a command without windows. ImageJ itself would tell errors in a dialog, fail at that, and go on with the macro.
     *
     * @return null: nothing is left to be done
     */
    private static String execute(String command) {
        String plugin = Menus.commands.get(command)
        if (plugin == null) {
            end("The embedded ImageJ has no command '$command': run the macro in a Fiji that has it.")
            return null
        }
        def parts = plugin =~ /^(.+?)(?:\("(.*)"\))?$/
        parts.find()
        try {
            IJ.runPlugIn(command, parts.group(1), parts.group(2) ?: '')
        } catch (HeadlessException ignored) {
            end("The command '$command' needs windows in the embedded ImageJ: leave out --headless, or take a Fiji by --app.")
        }
        return null
    }

    /** End the running macro with a sentence. */
    private static void end(String sentence) {
        System.setProperty('dl4fiji.error', sentence)
        Interpreter macro = Interpreter.instance
        if (macro == null) throw new IllegalArgumentException(sentence)
        macro.ignoreErrors = true
        macro.abort(sentence)
    }

    private static void addCommands(File folder, String menuName, java.awt.MenuBar bar) {
        Menu menu = bar == null ? null : (0..<bar.menuCount).collect { bar.getMenu(it) }.find { it.label == menuName }
        fill(folder, menu)
    }

    private static void fill(File folder, Menu menu) {
        folder.listFiles().sort { "${order(it.name)} $it.name" as String }.each { file ->
            String name = file.name.replaceAll(/\.groovy$/, '').replace('_', ' ')
            if (file.directory) {
                Menu below = menu == null ? null : new Menu(name)
                if (below != null) menu.add(below)
                fill(file, below)
            } else if (file.name.endsWith('.groovy')) {
                Menus.commands.put(name, "${ScriptCommand.name}(\"${file.path}\")" as String)
                if (menu != null) {
                    MenuItem item = new MenuItem(name)
                    item.addActionListener(IJ.instance)
                    menu.add(item)
                }
            }
        }
    }

    /** Training first, help last. */
    private static int order(String name) {
        int place = ['Train', 'DL4Fiji_Predict.groovy', 'Models', 'Jobs', 'Service'].indexOf(name)
        return place < 0 ? 9 : place
    }
}
