// Lets a canceled, failed or crashed job go on.
#@ java.util.concurrent.atomic.AtomicReference (label="Job", kind="job", description="The job to resume; empty: the newest one that can be.", required=false, persist=false) job
#@ java.util.concurrent.atomic.AtomicReference (label="Wait until the end", kind="boolean", fallback="true", description="Off: the command ends at once and the job goes on; Jobs > Monitor Job shows it.", required=false, persist=false) wait
#@output String state
#@output String model
#@output String folder
#@output String files
#@output String error

def library = System.getProperty('dl4fiji.library') ?: "${ij.IJ.getDirectory('imagej')}dl4fiji"
new GroovyShell(getClass().classLoader).evaluate(new File(library, 'load.groovy')).resumeJob(this)
