// Shows a job until it ends. In a macro, without a job: the newest one.
#@ java.util.concurrent.atomic.AtomicReference (label="Job", kind="job", description="The job to show; empty: the newest one.", required=false, persist=false) job
#@output String state
#@output String model
#@output String folder
#@output String files
#@output String error

def library = System.getProperty('dl4fiji.library') ?: "${ij.IJ.getDirectory('imagej')}dl4fiji"
new GroovyShell(getClass().classLoader).evaluate(new File(library, 'load.groovy')).monitorJob(this)
