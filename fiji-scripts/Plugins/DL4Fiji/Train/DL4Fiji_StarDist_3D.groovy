// Rendered from the options of DL4Fiji StarDist 3D by `make scripts`; do not edit.
//
// The inputs are AtomicReferences because SciJava turns anything into one (text, numbers, truth values) and has no
// widget for it: so it shows no dialog of its own before ours, which proposes open images and says at once what will
// happen. In a macro: run("DL4Fiji StarDist 3D", "source=[/data/images] target=[/data/labels] epochs=50 name=[my model]");
#@ java.util.concurrent.atomic.AtomicReference (label="Images", kind="image", description="Images with objects: an open image, a file or a folder.", required=false, persist=false) source
#@ java.util.concurrent.atomic.AtomicReference (label="Labels", kind="labels", description="Labels of the objects: an open image, a file, a folder of label images or ROI sets, the overlay of an open image, or the ROI Manager.", required=false, persist=false) target
#@ java.util.concurrent.atomic.AtomicReference (label="Name of the model", kind="text", description="Empty: made from the source's name.", required=false, persist=false) name
#@ java.util.concurrent.atomic.AtomicReference (label="Epochs", kind="integer", fallback="200", description="How often the training goes through its patches.", required=false, persist=false) epochs
#@ java.util.concurrent.atomic.AtomicReference (label="Batch size", kind="integer", fallback="2", description="Patches that the network sees at a time; less needs less memory.", required=false, persist=false) batch_size
#@ java.util.concurrent.atomic.AtomicReference (label="Patch size", kind="text", fallback="48x96x96", unit="pixels", description="Size of a training patch along Z, Y and X.", required=false, persist=false) patch_size
#@ java.util.concurrent.atomic.AtomicReference (label="Patches per image", kind="integer", fallback="16", description="Patches drawn from each image per epoch.", required=false, persist=false) patches_per_image
#@ java.util.concurrent.atomic.AtomicReference (label="Learning rate", kind="number", fallback="0.0003", description="Step width of the optimiser at the start.", required=false, persist=false) learning_rate
#@ java.util.concurrent.atomic.AtomicReference (label="Kept aside for validation", kind="integer", fallback="10", unit="%", description="Share of the images kept aside to judge the training.", required=false, persist=false) validation_percent
#@ java.util.concurrent.atomic.AtomicReference (label="Augmentation", kind="boolean", fallback="true", description="Vary the patches by flips, quarter turns and intensity.", required=false, persist=false) augmentation
#@ java.util.concurrent.atomic.AtomicReference (label="Rays", kind="integer", fallback="96", description="Directions in which the distance to an object's edge is predicted.", required=false, persist=false) rays
#@ java.util.concurrent.atomic.AtomicReference (label="Grid", kind="text", fallback="0", unit="pixels", description="The network predicts at every so many pixels along Z, Y and X, 1x2x2 say; 0 takes it from the objects' size.", required=false, persist=false) grid
#@ java.util.concurrent.atomic.AtomicReference (label="Anisotropy", kind="text", fallback="0", description="How many times shorter than along the longest axis objects look in pixels along Z, Y and X, 2x1x1 say; 0 measures the objects.", required=false, persist=false) anisotropy
#@ java.util.concurrent.atomic.AtomicReference (label="Wait until the end", kind="boolean", fallback="true", description="Off: the command ends at once and the training goes on; Jobs > Monitor Job shows it.", required=false, persist=false) wait
#@ java.util.concurrent.atomic.AtomicReference (label="Steps per epoch", kind="integer", fallback="0", description="Batches per epoch; 0 takes as many as there are patches.", advanced=true, required=false, persist=false) steps_per_epoch
#@ java.util.concurrent.atomic.AtomicReference (label="Seed", kind="integer", fallback="42", description="The same seed, data and machine give the same split and patches.", advanced=true, required=false, persist=false) seed
#@ java.util.concurrent.atomic.AtomicReference (label="Patience", kind="integer", fallback="0", unit="epochs", description="Stop after so many epochs without a better validation loss; 0 never stops early.", advanced=true, required=false, persist=false) patience
#@ java.util.concurrent.atomic.AtomicReference (label="Learning-rate patience", kind="integer", fallback="40", unit="epochs", description="Halve the learning rate after so many epochs without a better validation loss; 0 never does.", advanced=true, required=false, persist=false) reduce_lr_patience
#@ java.util.concurrent.atomic.AtomicReference (label="Foreground percent", kind="integer", fallback="90", unit="%", description="At least this share of the patches shows objects near its center.", advanced=true, required=false, persist=false) foreground_percent
#@ java.util.concurrent.atomic.AtomicReference (label="Distance loss", kind="choice", fallback="mae", options="mae|mse|iou", description="How distances are judged: mean absolute or squared error, or overlap (IoU).", advanced=true, required=false, persist=false) distance_loss
#@ java.util.concurrent.atomic.AtomicReference (label="Probability weight", kind="number", fallback="1", description="Weight of the error of the object probabilities.", advanced=true, required=false, persist=false) probability_weight
#@ java.util.concurrent.atomic.AtomicReference (label="Distance weight", kind="number", fallback="0.2", description="Weight of the error of the distances.", advanced=true, required=false, persist=false) distance_weight
#@ java.util.concurrent.atomic.AtomicReference (label="Background regularization", kind="number", fallback="0.0001", description="How strongly distances outside of objects are drawn to 0.", advanced=true, required=false, persist=false) background_regularization
#@ java.util.concurrent.atomic.AtomicReference (label="Lower percentile", kind="number", fallback="1", unit="%", description="This percentile of an image becomes 0 for the network.", advanced=true, required=false, persist=false) percentile_low
#@ java.util.concurrent.atomic.AtomicReference (label="Upper percentile", kind="number", fallback="99.8", unit="%", description="This percentile of an image becomes 1 for the network.", advanced=true, required=false, persist=false) percentile_high
#@ java.util.concurrent.atomic.AtomicReference (label="Depth", kind="integer", fallback="2", description="Poolings of the U-Net; more see larger objects.", advanced=true, required=false, persist=false) depth
#@ java.util.concurrent.atomic.AtomicReference (label="Kernel size", kind="integer", fallback="3", unit="pixels", description="Side of the convolution kernels, an odd number.", advanced=true, required=false, persist=false) kernel_size
#@ java.util.concurrent.atomic.AtomicReference (label="First filters", kind="integer", fallback="32", description="Convolution filters of the first level, doubled at each further level.", advanced=true, required=false, persist=false) first_filters
#@ java.util.concurrent.atomic.AtomicReference (label="Feature filters", kind="integer", fallback="128", description="Filters of the convolution before the outputs; 0 leaves it out.", advanced=true, required=false, persist=false) feature_filters
#@ java.util.concurrent.atomic.AtomicReference (label="Backbone", kind="choice", fallback="unet", options="unet|resnet", description="What the network consists of: a U-Net, or residual blocks, which see less far.", advanced=true, required=false, persist=false) backbone
#@ java.util.concurrent.atomic.AtomicReference (label="Blocks", kind="integer", fallback="4", description="Residual blocks, if the backbone is resnet.", advanced=true, required=false, persist=false) blocks
#@ java.util.concurrent.atomic.AtomicReference (label="Validation source", kind="image", description="Images to judge the training by; empty: some of the source are kept aside.", advanced=true, required=false, persist=false) validation_source
#@ java.util.concurrent.atomic.AtomicReference (label="Validation labels", kind="labels", description="The labels of the validation source.", advanced=true, required=false, persist=false) validation_target
#@ java.util.concurrent.atomic.AtomicReference (label="Axes of the files", kind="text", description="E.g. ZYX or TYX; empty: as the files say.", advanced=true, required=false, persist=false) axes
#@ java.util.concurrent.atomic.AtomicReference (label="Start from", kind="path", description="A model to go on from: its name here, or the path or web address (https://...#sha256=...) of a model folder, zip or package; also of csbdeep, n2v, stardist.", advanced=true, required=false, persist=false) start_from
#@ java.util.concurrent.atomic.AtomicReference (label="Authors", kind="text", description="Names for the exported model, separated by semicolons.", advanced=true, required=false, persist=false) authors
#@ java.util.concurrent.atomic.AtomicReference (label="Preview", kind="hidden", description="In macros: a PNG file to write nine training patches with their targets to; nothing is trained then.", advanced=true, required=false, persist=false) preview
#@output String job
#@output String state
#@output String model
#@output String folder
#@output String error

def library = System.getProperty('dl4fiji.library') ?: "${ij.IJ.getDirectory('imagej')}dl4fiji"
new GroovyShell(getClass().classLoader).evaluate(new File(library, 'load.groovy'))
    .train(this, 'stardist-3d', 'DL4Fiji StarDist 3D', 'Finds round objects such as nuclei in volumes, trained on stacks with labeled objects.')
