// Puts a model where DeepImageJ finds it. In a macro: run("Install Model in Fiji", "model=[my model]");
#@ java.util.concurrent.atomic.AtomicReference (label="Model", kind="model", description="A model that was trained here.", required=false, persist=false) model
#@ java.util.concurrent.atomic.AtomicReference (label="Fiji folder", kind="folder", description="The Fiji to put it into; empty: this one.", required=false, persist=false) fiji
#@output String folder
#@output String error

def library = System.getProperty('dl4fiji.library') ?: "${ij.IJ.getDirectory('imagej')}dl4fiji"
new GroovyShell(getClass().classLoader).evaluate(new File(library, 'load.groovy')).installModel(this)
