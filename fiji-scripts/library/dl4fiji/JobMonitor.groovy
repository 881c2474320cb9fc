package dl4fiji

import ij.IJ

/** Shows a running job in the status bar and a plot, and waits for its end; Esc cancels it. */
class JobMonitor {
    static final int POLL_MS = 400
    static final int PATIENCE_MS = 60_000

    private Client client
    private final String id
    private final LossPlot plot
    private final boolean cancelByEsc
    private long after = 0
    private String phase = ''
    private boolean canceling = false
    private final Set<String> told = []

    /** @param told warnings that the user has read already */
    JobMonitor(Client client, Map job, List<String> told = []) {
        this.client = client
        this.id = job.id
        this.told.addAll(told)
        this.plot = new LossPlot(LossPlot.title(job))
        this.cancelByEsc = Gui.available()
    }

    /** Wait until the job has ended and return it. */
    Map await() {
        if (cancelByEsc) IJ.resetEscape()
        long silentSince = 0
        while (true) {
            try {
                Map job = poll()
                silentSince = 0
                if (!(job.state in ['QUEUED', 'RUNNING'])) return finish(job)
            } catch (Unreachable error) {
                silentSince = silentSince ?: System.currentTimeMillis()
                if (System.currentTimeMillis() - silentSince > PATIENCE_MS)
                    throw new Fault('The DL4Fiji service stopped answering; the job is kept: ' +
                        'Plugins ▸ DL4Fiji ▸ Jobs ▸ Monitor Job shows it again.')
                IJ.showStatus('Waiting for the DL4Fiji service…')
                client = Service.find() ?: client
            }
            sleep(POLL_MS)
        }
    }

    private Map poll() {
        Map job = (Map) client.get("/jobs/$id")
        List<Map> events = (List<Map>) client.get("/jobs/$id/events?wait=0&after=$after")
        if (events) after = events.collect { it.id as long }.max()
        plot.add(events.findAll { it.type == 'epoch' }.collect { (Map) it.data })
        events.findAll { it.type == 'warning' && told.add(it.data.text as String) }.each { Gui.log("Warning: ${it.data.text}") }
        show(job)
        if (cancelByEsc && !canceling && IJ.escapePressed()) {
            IJ.resetEscape()
            canceling = true
            client.post("/jobs/$id/cancel")
        }
        return job
    }

    private void show(Map job) {
        if (job.phase != phase) {
            phase = job.phase
            if (phase && !Gui.available()) Gui.log(phase)
        }
        IJ.showStatus(canceling ? 'Canceling; the best weights so far are kept…' : line(job))
        if (job.total) IJ.showProgress(Math.min(0.999d, (job.done as double) / (job.total as double)))
    }

    /** Say in one line how far a job is, e.g. "Epoch 3 of 100, loss 0.021, validation 0.025, 4 min left". */
    static String line(Map job) {
        if (job.state == 'QUEUED') return "$job.title waits for its turn"
        List<String> parts = []
        if (job.epochs) parts << "epoch $job.epoch of $job.epochs"
        else if (job.total) parts << "$job.done of $job.total"
        if (job.loss != null) parts << "loss ${figures(job.loss)}"
        if (job.val_loss != null) parts << "validation ${figures(job.val_loss)}"
        if (job.seconds_left != null) parts << "${duration(job.seconds_left as double)} left"
        String line = parts.join(', ')
        boolean training = job.epochs && job.done && job.done < job.total
        if (training || job.state != 'RUNNING') return line.capitalize() ?: job.title  // the status bar has little room
        if (job.epochs && job.phase) return job.phase  // before the first epoch or after the last
        return (job.phase ?: job.title) + (line ? ": $line" : '')
    }

    static String duration(double seconds) {
        if (seconds < 90) return "${Math.round(seconds)} s"
        if (seconds < 5400) return "${Math.round(seconds / 60)} min"
        return String.format(Locale.US, '%.1f h', seconds / 3600)
    }

    static String figures(Object number) { String.format(Locale.US, '%.3g', number as double) }

    private static Map finish(Map job) {
        IJ.showProgress(1.0d)
        IJ.showStatus(job.state == 'COMPLETE' ? "$job.title is complete" :
            job.state == 'CANCELED' ? "$job.title was canceled" : "$job.title failed")
        return job
    }
}
