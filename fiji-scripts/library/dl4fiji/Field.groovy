package dl4fiji

/** One input of a command, as the attributes of its {@code #@} line tell it. */
class Field {
    String name
    String label
    String help
    /** text, integer, number, boolean, choice, image, labels (an image or outlines), folder, file, path, model, job, hidden (not in dialogs). */
    String kind
    /** What it is when nobody gives it. */
    String fallback
    String unit
    List<String> choices
    boolean advanced

    /** Return the inputs that the script declares, in their order. */
    static List<Field> of(Object module) {
        module.info.inputs().collect { item ->
            new Field(name: item.name, label: item.label ?: item.name, help: item.description ?: '',
                kind: item.get('kind') ?: 'text', fallback: item.get('fallback') ?: '', unit: item.get('unit') ?: '',
                choices: (item.get('options') ?: '').tokenize('|'), advanced: item.get('advanced') == 'true')
        }
    }
}
