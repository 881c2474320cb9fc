// Finds objects by a model in the StarDist plugin of this Fiji, without Python. In a macro:
// run("Run with StarDist", "model=[/models/my model] source=[/data/nuclei.tif] output=[/data/objects.tif]");
#@ java.util.concurrent.atomic.AtomicReference (label="Folder of the model", kind="folder", description="It holds model.json and a file ending in .stardist.zip.", required=false, persist=false) model
#@ java.util.concurrent.atomic.AtomicReference (label="Image", kind="image", description="An open image or a file.", required=false, persist=false) source
#@ java.util.concurrent.atomic.AtomicReference (label="Save the label image as", kind="file", description="A TIFF file; empty: the result is shown.", required=false, persist=false) output
#@ java.util.concurrent.atomic.AtomicReference (label="Probability", kind="text", description="Objects less probable are left out; empty: the threshold that was found in training.", required=false, persist=false) probability
#@ java.util.concurrent.atomic.AtomicReference (label="Overlap", kind="text", description="Objects that overlap more are taken for one; empty: the threshold that was found in training.", required=false, persist=false) nms
#@ java.util.concurrent.atomic.AtomicReference (label="Tiles", kind="integer", fallback="1", description="More tiles need less memory.", required=false, persist=false) tiles
#@output String files
#@output String error

def library = System.getProperty('dl4fiji.library') ?: "${ij.IJ.getDirectory('imagej')}dl4fiji"
new GroovyShell(getClass().classLoader).evaluate(new File(library, 'load.groovy')).runWithStardist(this)
