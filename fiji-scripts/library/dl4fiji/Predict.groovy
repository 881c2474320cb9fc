package dl4fiji

/** Runs a trained model on an open image, a file or a folder. */
class Predict {
    static final int MOST_SHOWN = 10
    private static final String TITLE = 'DL4Fiji Predict'

    private Client client
    private Handover handover

    /** Run the command for a script's module and return its outputs. */
    Map<String, Object> run(Object module) {
        Inputs inputs = Inputs.of(module, TITLE) { fields -> ask(fields) }
        if (!inputs.text('model') || !inputs.text('source'))
            throw new Fault("$TITLE needs a model and images: e.g. run(\"$TITLE\", \"model=[my model] source=[/data/noisy]\").")
        boolean wait = inputs.flag('wait')
        boolean shown = inputs.flag('show')
        connect()
        Map request = [kind: 'predict', model: inputs.text('model'), source: handover.path(inputs.text('source')),
                       output: Handover.home(inputs.text('output')), axes: inputs.text('axes'), weights: inputs.text('weights'),
                       *: ['tile_size', 'probability_threshold', 'nms_threshold'].collectEntries { name ->
                           [name, inputs.typed(inputs.fields.find { it.name == name })] }]
        Map job = (Map) client.post('/jobs', request)
        Gui.log("$job.title: started as job $job.id.")
        if (!wait) return new JobOutcome(client, job).tell()
        job = new JobMonitor(client, job).await()
        Map outputs = new JobOutcome(client, job).tell()
        List<String> files = (List<String>) job.result?.files ?: []
        List<File> labels = FoundObjects.among(files)
        if (shown && labels) showObjects(labels, inputs.text('model'), OpenImages.find(inputs.text('source')))
        else if (shown && Gui.available()) show(files, inputs.text('model'))
        return outputs
    }

    /** Label images of objects that were found; of an open image the outlines lie on the image itself. */
    private static void showObjects(List<File> labels, String model, ij.ImagePlus source) {
        if (!Gui.available() && !source) return
        labels.take(MOST_SHOWN).each {
            new FoundObjects(it).show("$it.name ($model)", labels.size() == 1 ? source : null, labels.size() == 1)
        }
        if (labels.size() > MOST_SHOWN)
            Gui.log("The first $MOST_SHOWN of ${labels.size()} label images are shown; all are in ${labels[0].parent}.")
    }

    /** Results have the names of their images; their titles must not. */
    private static void show(List<String> files, String model) {
        files.take(MOST_SHOWN).each { OpenImages.show(new File(it), "${new File(it).name} ($model)") }
        if (files.size() > MOST_SHOWN)
            Gui.log("The first $MOST_SHOWN of ${files.size()} results are shown; all are in ${new File(files[0]).parent}.")
    }

    private void connect() {
        if (client) return
        client = Service.connect()
        handover = new Handover(client)
    }

    private Map<String, String> ask(List<Field> fields) {
        connect()
        List<String> models = ((List<Map>) client.get('/models')).findAll { !it.error }*.name
        if (!models)
            throw new Fault('There is no model yet: train one by Plugins ▸ DL4Fiji ▸ Train ▸ CARE 2D.')
        Map<String, String> start = Session.last(TITLE)
        List<String> open = OpenImages.titles()
        if (open) start.source = ij.WindowManager.currentImage?.title in open ? ij.WindowManager.currentImage.title : open[-1]
        if (!(start.model in models)) start.model = models[0]
        Form form = new Form(TITLE, 'Runs a trained model on an open image, a file or all images of a folder.', fields,
            start, { Map values -> preview(values) })
        form.okLabel = 'Predict'
        form.proposals = [model: models, source: open]
        Map<String, String> values = form.ask()
        Session.keep(TITLE, values)
        return values
    }

    private static Map preview(Map<String, String> values) {
        String source = values.source.trim()
        if (!source) return [ok: false, text: 'Choose an open image, a file or a folder.']
        if (OpenImages.find(source)) return [ok: true, text: "The open image '$source' is predicted and the result opened."]
        File file = new File(source)
        if (!file.exists()) return [ok: false, text: "There is no open image, file or folder '$source'."]
        return [ok: true, text: file.directory ? "All images in $source are predicted." : "$source is predicted."]
    }
}
