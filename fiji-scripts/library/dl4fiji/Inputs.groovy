package dl4fiji

/**
 * The values of a command's inputs: from the option string of a macro, from a caller in another script, or from our
 * dialog when the command was chosen in the menu.
 *
 * The scripts declare their inputs as AtomicReference: SciJava converts anything to it and has no widget for it, hence
 * shows no dialog of its own. Ours proposes open images and says at once what will happen.
 */
class Inputs {
    final List<Field> fields
    /** Texts by name; those not given have their fallback. */
    final Map<String, String> values
    /** Names of the inputs that somebody gave. */
    final Set<String> given

    private Inputs(List<Field> fields, Map<String, String> given) {
        this.fields = fields
        this.given = given.keySet()
        this.values = fields.collectEntries { [it.name, given.containsKey(it.name) ? given[it.name] : it.fallback] }
    }

    /**
     * Return the inputs of a running script.
     *
     * @param ask shows the dialog and returns texts by name; null for a command that has none
     */
    static Inputs of(Object module, String title, Closure<Map<String, String>> ask) {
        List<Field> fields = Field.of(module)
        String options = ij.Macro.options
        if (options != null) return fromMacro(fields, MacroOptions.parse(options), title)
        Map<String, String> passed = [:]
        fields.each { field ->
            Object value = module.isInputResolved(field.name) ? module.getInput(field.name)?.get() : null
            if (value != null) passed[field.name] = value as String
        }
        if (passed || !ask || !Gui.available()) return new Inputs(fields, passed)
        Inputs inputs = new Inputs(fields, ask(fields))
        inputs.record()
        return inputs
    }

    /** Return the inputs of a dialog that is being filled in. */
    static Inputs typed(List<Field> fields, Map<String, String> values) { new Inputs(fields, values) }

    private static Inputs fromMacro(List<Field> fields, Map<String, String> options, String title) {
        List<String> names = fields*.name
        String unknown = options.keySet().find { !(it in names) }
        if (unknown) {
            String near = names.min { distance(it, unknown.toLowerCase()) }
            String hint = distance(near, unknown.toLowerCase()) <= 3 ? "did you mean '$near'? Its" : 'its'
            throw new Fault("$title has no option '$unknown': $hint options are ${names.join(', ')}.")
        }
        return new Inputs(fields, options)
    }

    /** How many letters must be changed, added or left out to make {@code a} of {@code b} (Levenshtein 1966). */
    private static int distance(String a, String b) {
        int[] row = (0..b.length()) as int[]
        for (int i = 1; i <= a.length(); i++) {
            int corner = row[0]
            row[0] = i
            for (int j = 1; j <= b.length(); j++) {
                int above = row[j]
                int changed = corner + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1)
                row[j] = Math.min(changed, Math.min(above, row[j - 1]) + 1)
                corner = above
            }
        }
        return row[b.length()]
    }

    String text(String name) { values[name] }

    boolean flag(String name) {
        String value = text(name).trim().toLowerCase()
        if (value in ['true', 'yes', '1', 'on']) return true
        if (value in ['false', 'no', '0', 'off', '']) return false
        throw new Fault("The option '$name' is '$value' but must be true or false.")
    }

    /** Return the value as JSON shall carry it; what is no number stays text, for the service to say so. */
    Object typed(Field field) {
        String value = field.kind in ['boolean', 'integer', 'number'] ? text(field.name).trim() : text(field.name)
        switch (field.kind) {
            case 'boolean': return value in ['true', 'false'] ? value == 'true' : value
            case 'integer': return value ==~ /[+-]?\d{1,18}/ ? value as long : value
            case 'number':
                Double number = value ==~ /[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?/ ? value as double : null
                return number != null && !number.isInfinite() ? number : value
            default: return value
        }
    }

    /** Hand the values to ImageJ's macro recorder, those alone that differ from what they are by themselves. */
    private void record() {
        if (!ij.plugin.frame.Recorder.record) return
        fields.each { field ->
            String value = values[field.name]
            if (value == field.fallback) return
            if (field.kind in ['image', 'labels', 'folder', 'file', 'path'] && ij.IJ.isWindows()) value = value.replace('\\', '/')
            ij.plugin.frame.Recorder.recordOption(field.name, recordable(value))
        }
        ij.plugin.frame.Recorder.saveCommand()  // now, not when the training has ended
    }

    /** The recorder itself puts brackets around values with spaces. */
    private static String recordable(String value) {
        String quoted = MacroOptions.quote(value)
        return quoted.startsWith('[') ? value : quoted
    }
}
