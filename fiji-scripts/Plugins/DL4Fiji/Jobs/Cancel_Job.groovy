// Stops a job; the best weights so far are kept.
#@ java.util.concurrent.atomic.AtomicReference (label="Job", kind="job", description="The job to stop; empty: the newest one that is not finished.", required=false, persist=false) job
#@output String state
#@output String error

def library = System.getProperty('dl4fiji.library') ?: "${ij.IJ.getDirectory('imagej')}dl4fiji"
new GroovyShell(getClass().classLoader).evaluate(new File(library, 'load.groovy')).cancelJob(this)
