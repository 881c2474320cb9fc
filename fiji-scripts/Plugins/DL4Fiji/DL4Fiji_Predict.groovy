// Runs a trained model. In a macro:
// run("DL4Fiji Predict", "model=[my model] source=[/data/noisy] output=[/data/restored]");
#@ java.util.concurrent.atomic.AtomicReference (label="Model", kind="model", description="A model that was trained here.", required=false, persist=false) model
#@ java.util.concurrent.atomic.AtomicReference (label="Images", kind="image", description="What to run the model on: an open image, a file or a folder.", required=false, persist=false) source
#@ java.util.concurrent.atomic.AtomicReference (label="Output folder", kind="folder", description="Where results go; empty: the job's own folder.", required=false, persist=false) output
#@ java.util.concurrent.atomic.AtomicReference (label="Open the results", kind="boolean", fallback="true", description="Show the results in Fiji.", required=false, persist=false) show
#@ java.util.concurrent.atomic.AtomicReference (label="Wait until the end", kind="boolean", fallback="true", description="Off: the command ends at once and the job goes on; Jobs > Monitor Job shows it.", required=false, persist=false) wait
#@ java.util.concurrent.atomic.AtomicReference (label="Weights", kind="choice", fallback="best", options="best|last", description="Those with the lowest validation loss, or those of the last epoch.", advanced=true, required=false, persist=false) weights
#@ java.util.concurrent.atomic.AtomicReference (label="Probability threshold", kind="number", fallback="0", description="Masks and objects: from this probability on a pixel counts; 0 takes the threshold of the model.", advanced=true, required=false, persist=false) probability_threshold
#@ java.util.concurrent.atomic.AtomicReference (label="Overlap threshold", kind="number", fallback="0", description="Objects: one that shares more than this part with a more probable one is dropped; 0 takes the threshold of the model.", advanced=true, required=false, persist=false) nms_threshold
#@ java.util.concurrent.atomic.AtomicReference (label="Tile size", kind="integer", fallback="0", unit="pixels", description="Side of a tile along Y and X; 0 chooses by the memory at hand.", advanced=true, required=false, persist=false) tile_size
#@ java.util.concurrent.atomic.AtomicReference (label="Axes of the files", kind="text", description="E.g. ZYX or TYX; empty: as the files say.", advanced=true, required=false, persist=false) axes
#@output String job
#@output String state
#@output String folder
#@output String files
#@output String objects
#@output String error

def library = System.getProperty('dl4fiji.library') ?: "${ij.IJ.getDirectory('imagej')}dl4fiji"
new GroovyShell(getClass().classLoader).evaluate(new File(library, 'load.groovy')).predict(this)
