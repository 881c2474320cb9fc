package dl4fiji

import java.awt.Desktop

/** Puts models into Fiji and shows where they lie. */
class Models {
    private final Client client = Service.connect()

    /** Copy a model's package to a Fiji's folder models, where DeepImageJ finds it. */
    Map<String, Object> install(Object module) {
        Inputs inputs = choose(module, 'Install Model in Fiji', 'Puts a trained model where DeepImageJ finds it.', 'Install')
        String fiji = Handover.home(inputs.text('fiji')) ?: ij.IJ.getDirectory('imagej')
        if (!fiji)
            throw new Fault('This ImageJ has no folder: name the folder of your Fiji by the option fiji.')
        Map answer = (Map) client.post("/models/${Client.segment(inputs.text('model'))}/install", [fiji: fiji])
        Gui.log("Installed: ${answer.folder ?: new File(fiji, 'models')}. In DeepImageJ choose the model ${inputs.text('model')}.")
        return [model: inputs.text('model'), folder: answer.folder ?: '']
    }

    /** Show a model's folder in the system's file browser. */
    Map<String, Object> open(Object module) {
        Inputs inputs = choose(module, 'Open Model Folder', 'Shows the files of a trained model.', 'Open')
        Map model = (Map) client.get("/models/${Client.segment(inputs.text('model'))}")
        File folder = new File(model.folder ?: "${Installation.home()}/models/${inputs.text('model')}")
        if (Gui.available() && Desktop.desktopSupported && Desktop.desktop.isSupported(Desktop.Action.OPEN)) Desktop.desktop.open(folder)
        Gui.log("Folder: $folder")
        return [model: inputs.text('model'), folder: folder.path]
    }

    /** Show the report of a model in the browser; one that has none yet gets it. */
    Map<String, Object> openReport(Object module) {
        Inputs inputs = choose(module, 'Open Report', 'Shows how good a model is, how it was trained, and what to mind.', 'Open')
        File report = report(inputs.text('model'))
        show(report)
        return [model: inputs.text('model'), report: report.path]
    }

    /** Return the report of the model {@code name}, made now if there is none. */
    File report(String name) {
        Map model = (Map) client.get("/models/${Client.segment(name)}")
        File report = model.report ? new File(model.report as String) : null
        return report?.file ? report : new File(client.post("/models/${Client.segment(name)}/report").html as String)
    }

    /** Show a report in the system's browser, where there are windows, and tell where it is. */
    static void show(File report) {
        if (Gui.available() && Desktop.desktopSupported && Desktop.desktop.isSupported(Desktop.Action.BROWSE))
            Desktop.desktop.browse(report.toURI())
        Gui.log("Report: $report")
    }

    private Inputs choose(Object module, String title, String introduction, String okLabel) {
        Inputs inputs = Inputs.of(module, title) { fields ->
            List<Map> models = ((List<Map>) client.get('/models')).findAll { !it.error }  // damaged ones
            if (!models) throw new Fault('There is no model yet: train one by Plugins ▸ DL4Fiji ▸ Train ▸ CARE 2D.')
            Map<String, String> start = [model: models[0].name]
            if (fields.any { it.name == 'fiji' }) start.fiji = ij.IJ.getDirectory('imagej') ?: ''
            Form form = new Form(title, introduction, fields, start, { Map values ->
                Map model = models.find { it.name == values.model }
                [ok: true, text: JobOutcome.lines([quality: model?.quality]).join('\n')]
            })
            form.okLabel = okLabel
            form.proposals = [model: models*.name]
            form.ask()
        }
        if (!inputs.text('model'))
            throw new Fault("$title needs a model: run(\"$title\", \"model=[my model]\").")
        return inputs
    }
}
