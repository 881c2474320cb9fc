// Shows the report of a model in the browser. In a macro: run("Open Report", "model=[my model]");
#@ java.util.concurrent.atomic.AtomicReference (label="Model", kind="model", description="A model that was trained here.", required=false, persist=false) model
#@output String report
#@output String error

def library = System.getProperty('dl4fiji.library') ?: "${ij.IJ.getDirectory('imagej')}dl4fiji"
new GroovyShell(getClass().classLoader).evaluate(new File(library, 'load.groovy')).openReport(this)
