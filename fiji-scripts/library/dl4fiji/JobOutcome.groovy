package dl4fiji

/** Tells how a job ended: in the log, in a window, and as outputs that scripts and macros read. */
class JobOutcome {
    private final Client client
    private final Map job

    JobOutcome(Client client, Map job) {
        this.client = client
        this.job = job
    }

    /**
     * Tell and return the outputs: job, state, model, folder, files, objects (their number).
     *
     * @param window whether a window shows a finished training, where windows are to be had and no macro is running
     */
    Map<String, Object> tell(boolean window = true) {
        Map result = (Map) job.result ?: [:]
        if (job.state in ['FAILED', 'CRASHED']) throw new Fault(sentence())
        if (job.state == 'CANCELED') Gui.log("$job.title was canceled" + (result.model ? '; the best weights so far are kept.' : '.'))
        if (job.state == 'COMPLETE') {
            Gui.log("$job.title is complete.")
            lines(result).each { Gui.log(it) }
        }
        boolean trained = job.kind == 'train' && result.folder
        if (window && trained && Gui.available() && !Gui.inMacro()) new ResultWindow(client, job).show()
        return [job: job.id, state: job.state, model: result.model ?: job.request?.name ?: job.request?.model ?: '',
                folder: result.folder ?: '', files: ((List) result.files ?: []).join('\n'),
                objects: result.objects ? ((Map) result.objects).values().sum() : '']
    }

    private String sentence() {
        String tail = ((List<String>) job.log_tail ?: []).join('\n')
        if (job.state == 'CRASHED' && tail) Gui.log("The end of the log of $job.title:\n$tail")
        return job.error ?: "$job.title ended without a result: see its log by Jobs ▸ Monitor Job."
    }

    /** Return a metric's name as people write it. */
    static String label(Object metric) {
        [psnr: 'PSNR (dB)', ssim: 'SSIM', nrmse: 'NRMSE', pearson: 'Pearson r', iou: 'IoU', dice: 'Dice', f1: 'F1',
         mean_matched_score: 'IoU of hits'][metric as String] ?:
            (metric as String).replace('_', ' ').capitalize().replace('Iou', 'IoU')
    }

    /** Return the lines that sum up a result. */
    static List<String> lines(Map result) {
        List<String> lines = []
        String over = ((Map) result.quality)?.f1 ? 'all objects of the validation images' : 'mean of the validation images'
        ((Map) result.quality ?: [:]).each { metric, values ->
            if (!(values instanceof Map) || values.prediction == null) return
            def other = values.find { kind, value -> kind != 'prediction' }
            String what = other?.key == 'input' ? 'of the input' : other?.key
            String before = other == null ? '' : ", $what ${JobMonitor.figures(other.value)}"
            lines << "${label(metric)} of the prediction ${JobMonitor.figures(values.prediction)}$before ($over)".toString()
        }
        if (result.model) lines << "Model: $result.model".toString()
        if (result.folder) lines << "Folder: $result.folder".toString()
        ((List<String>) result.files ?: []).each { lines << "Result: $it".toString() }
        ((Map<String, Object>) result.objects ?: [:]).each { file, count ->
            lines << "$count objects in ${new File(file).name}".toString()
        }
        return lines
    }
}
