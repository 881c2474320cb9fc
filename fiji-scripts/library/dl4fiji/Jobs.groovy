package dl4fiji

/** Watches, cancels and resumes jobs. */
class Jobs {
    private final Client client = Service.connect()
    private Inputs inputs

    /** Show a job until it ends. */
    Map<String, Object> monitor(Object module) {
        Map job = choose(module, 'Monitor Job', 'Shows a job in the status bar and as a plot. Esc cancels the job.', 'Monitor') { true }
        if (job.state in ['QUEUED', 'RUNNING']) return new JobOutcome(client, new JobMonitor(client, job).await()).tell()
        ((List<String>) job.warnings ?: []).each { Gui.log("Warning: $it") }
        List<Map> epochs = ((List<Map>) client.get("/jobs/$job.id/events?wait=0&after=0")).findAll { it.type == 'epoch' }*.data
        new LossPlot(LossPlot.title(job)).add(epochs)
        return new JobOutcome(client, job).tell()
    }

    /** Ask a job to stop. */
    Map<String, Object> cancel(Object module) {
        Map job = choose(module, 'Cancel Job', 'Stops a job at the end of its batch; the best weights so far are kept.', 'Stop') {
            it.state in ['QUEUED', 'RUNNING']
        }
        job = (Map) client.post("/jobs/$job.id/cancel")
        Gui.log("$job.title is being canceled.")
        return [job: job.id, state: job.state]
    }

    /** Let a canceled, failed or crashed job go on from its last checkpoint. */
    Map<String, Object> resume(Object module) {
        Map job = choose(module, 'Resume Job', 'Lets a canceled, failed or crashed job go on where it was.', 'Resume') { it.resumable }
        job = (Map) client.post("/jobs/$job.id/resume")
        Gui.log("$job.title goes on.")
        if (!inputs.flag('wait')) return [job: job.id, state: job.state]
        return new JobOutcome(client, new JobMonitor(client, job).await()).tell()
    }

    private Map choose(Object module, String title, String introduction, String okLabel, Closure<Boolean> fits) {
        List<Map> jobs = ((List<Map>) client.get('/jobs?limit=200')).findAll(fits)
        inputs = Inputs.of(module, title) { fields ->
            if (!jobs) throw new Fault("There is no job to ${okLabel.toLowerCase()}.")
            List<String> names = jobs.collect { name(it) }
            Form form = new Form(title, introduction, fields, [job: names[0]], { Map values ->
                [ok: true, text: JobMonitor.line(find(jobs, values.job) ?: jobs[0])]
            })
            form.okLabel = okLabel
            form.proposals = [job: names]
            Map<String, String> values = form.ask()
            values + [job: find(jobs, values.job).id as String]  // what a recorded macro shall name
        }
        String wanted = inputs.text('job')
        Map job = wanted ? find(jobs, wanted) : jobs ? jobs[0] : null
        if (job) return job
        if (wanted) return (Map) client.get("/jobs/${Client.segment(wanted)}")
        throw new Fault("There is no job to ${okLabel.toLowerCase()}.")
    }

    private static Map find(List<Map> jobs, String wanted) { jobs.find { it.id == wanted || name(it) == wanted } }

    private static String name(Map job) { "$job.title, ${job.state.toLowerCase()} ($job.id)" }
}
