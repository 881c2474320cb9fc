package dl4fiji

/** Trains a network: all commands of the menu Train. */
class Train {
    private static final List<String> DATA = ['source', 'target', 'validation_source', 'validation_target', 'axes']
    private static final List<String> OTHER = ['name', 'start_from', 'authors', 'wait', 'preview']

    private final String network
    private final String title
    private final String description
    private Client client
    private Handover handover

    Train(String network, String title, String description) {
        this.network = network
        this.title = title
        this.description = description
    }

    /** Run the command for a script's module and return its outputs. */
    Map<String, Object> run(Object module) {
        Inputs inputs = Inputs.of(module, title) { fields -> ask(fields) }
        if (!inputs.text('source')) {
            boolean paired = paired(inputs.fields)
            throw new Fault("$title needs ${paired ? 'source and target' : 'a source'}: name folders, files or open images, " +
                "e.g. run(\"$title\", \"source=[/data/noisy]${paired ? ' target=[/data/clean]' : ''}\").")
        }
        boolean wait = inputs.flag('wait')
        connect()
        Map request = request(inputs)
        if (inputs.text('preview')) return preview(request, new File(Handover.home(inputs.text('preview'))))
        List<String> warnings = report((Map) client.post('/check', request))
        Map job = (Map) client.post('/jobs', request)
        Gui.log("$job.title: started as job $job.id.")
        if (wait) job = new JobMonitor(client, job, warnings).await()
        return new JobOutcome(client, job).tell()
    }

    /** Whether the network learns from pairs; others have no input for a target. */
    private static boolean paired(List<Field> fields) { fields.any { it.name == 'target' } }

    private void connect() {
        if (client) return
        client = Service.connect()
        handover = new Handover(client)
    }

    private Map<String, String> ask(List<Field> fields) {
        connect()
        List<String> open = OpenImages.titles()
        Map<String, String> start = Session.last(title)
        List<String> pair = OpenImages.proposePair()
        List<String> drawn = Outlines.names()
        boolean labels = fields.any { it.kind == 'labels' }
        if (open) start += paired(fields) ? [source: pair[0], target: pair[1]] : [source: pair[0]]
        if (labels && open.size() == 1 && drawn) start.target = drawn[0]
        start.name = ''
        List<Field> shown = fields.findAll { it.kind != 'hidden' }
        Form form = new Form(title, description, shown, start, { check(fields, it) })
        form.okLabel = 'Train'
        form.moreLabel = 'Preview'
        form.moreAction = { Map<String, String> values ->
            Preview preview = new Preview(client, request(Inputs.typed(fields, values)))
            return { java.awt.Window owner -> preview.show(owner) }
        }
        form.proposals = fields.findAll { it.kind in ['image', 'labels'] }
            .collectEntries { [it.name, it.kind == 'labels' ? open + drawn : open] } + [start_from: [''] + modelNames()]
        try {
            Map<String, String> values = form.ask()
            Session.keep(title, values)
            return values
        } finally {
            handover.forget()
        }
    }

    private List<String> modelNames() { ((List<Map>) client.get('/models'))*.name }

    /** Say what would happen, or what is wrong. */
    private Map check(List<Field> fields, Map<String, String> values) {
        if (!values.source.trim() || (paired(fields) && !values.target.trim())) {
            String needed = fields.findAll { it.name in ['source', 'target'] }*.label*.uncapitalize().join(' and ')
            return [ok: false, text: "Choose $needed: open images, folders or files.".toString()]
        }
        if (DATA.any { it in values && Handover.tooLargeToCheck(values[it].trim()) })
            return [ok: true, text: 'These large images are checked when the training starts.']
        Inputs inputs = Inputs.typed(fields, values)
        Map answer = (Map) client.post('/check', request(inputs))
        if (answer.problems) return [ok: false, text: ((List) answer.problems).take(4).join('\n')]
        return [ok: true, text: ([answer.summary] + (List) answer.warnings).findAll().join('\n')]
    }

    /** Write the first training patches to a file in place of training. */
    private Map<String, Object> preview(Map request, File file) {
        Preview preview = new Preview(client, request)
        preview.save(file)
        preview.warnings.each { Gui.log("Warning: $it") }
        Gui.log("$preview.text They are in $file.")
        return [folder: file.absoluteFile.parent, files: file.path]
    }

    private Map request(Inputs inputs) {
        Map data = DATA.findAll { it in inputs.fields*.name }
            .collectEntries { [it, it == 'axes' ? inputs.text(it) : handover.path(inputs.text(it))] }
        Map options = inputs.fields.findAll { !(it.name in DATA) && !(it.name in OTHER) && it.name in inputs.given }
            .collectEntries { [it.name, inputs.typed(it)] }
        return [kind: 'train', network: network, data: data, options: options,
                name: inputs.text('name') ?: defaultName(inputs), start_from: inputs.text('start_from'),
                authors: inputs.text('authors').split(';')*.trim().findAll()]
    }

    /** E.g. "noisy CARE 2D", with a number if there is such a model already. */
    private String defaultName(Inputs inputs) {
        String source = inputs.text('source').replaceAll(/[\/\\]+$/, '').replaceAll(/.*[\/\\]/, '')
        String stem = source.replaceAll(/\.[A-Za-z]{2,4}$/, '').replaceAll(/[^\p{L}\p{N} _-]/, ' ').replaceAll(/ +/, ' ').trim()
        if (!(stem =~ /^[\p{L}\p{N}]/).find()) stem = 'model'
        String name = "${stem.take(60).trim()} ${title - 'DL4Fiji '}"
        List<String> taken = modelNames()*.toLowerCase()
        return name.toLowerCase() in taken ? (2..9999).collect { "$name $it" }.find { !(it.toLowerCase() in taken) } : name
    }

    /** Tell what the training will do and return the warnings; {@link Fault} if it cannot be done. */
    private static List<String> report(Map answer) {
        if (answer.problems) {
            List<String> problems = (List<String>) answer.problems
            throw new Fault(problems[0], problems)
        }
        if (answer.summary) Gui.log(answer.summary as String)
        ((List<String>) answer.warnings).each { Gui.log("Warning: $it") }
        return (List<String>) answer.warnings
    }
}
