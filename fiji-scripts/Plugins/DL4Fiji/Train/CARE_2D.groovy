// Rendered from the options of CARE 2D by `make scripts`; do not edit.
//
// The inputs are AtomicReferences because SciJava turns anything into one (text, numbers, truth values) and has no
// widget for it: so it shows no dialog of its own before ours, which proposes open images and says at once what will
// happen. In a macro: run("CARE 2D", "source=[/data/noisy] target=[/data/clean] epochs=50 name=[my model]");
#@ java.util.concurrent.atomic.AtomicReference (label="Source (noisy)", kind="image", description="Noisy or blurred images: an open image, a file or a folder.", required=false, persist=false) source
#@ java.util.concurrent.atomic.AtomicReference (label="Target (clean)", kind="image", description="The same fields, clean: an open image, a file, or a folder with the same file names.", required=false, persist=false) target
#@ java.util.concurrent.atomic.AtomicReference (label="Name of the model", kind="text", description="Empty: made from the source's name.", required=false, persist=false) name
#@ java.util.concurrent.atomic.AtomicReference (label="Epochs", kind="integer", fallback="100", description="How often the training goes through its patches.", required=false, persist=false) epochs
#@ java.util.concurrent.atomic.AtomicReference (label="Batch size", kind="integer", fallback="16", description="Patches that the network sees at a time; less needs less memory.", required=false, persist=false) batch_size
#@ java.util.concurrent.atomic.AtomicReference (label="Patch size", kind="text", fallback="128x128", unit="pixels", description="Size of a training patch along Y and X.", required=false, persist=false) patch_size
#@ java.util.concurrent.atomic.AtomicReference (label="Patches per image", kind="integer", fallback="50", description="Patches drawn from each image per epoch.", required=false, persist=false) patches_per_image
#@ java.util.concurrent.atomic.AtomicReference (label="Learning rate", kind="number", fallback="0.0004", description="Step width of the optimiser at the start.", required=false, persist=false) learning_rate
#@ java.util.concurrent.atomic.AtomicReference (label="Kept aside for validation", kind="integer", fallback="10", unit="%", description="Share of the images kept aside to judge the training.", required=false, persist=false) validation_percent
#@ java.util.concurrent.atomic.AtomicReference (label="Augmentation", kind="boolean", fallback="false", description="Vary the patches by flips, rotations, intensity and deformation.", required=false, persist=false) augmentation
#@ java.util.concurrent.atomic.AtomicReference (label="Probabilistic", kind="boolean", fallback="false", description="Predict a Laplace distribution per pixel: a second output tells how sure the network is.", required=false, persist=false) probabilistic
#@ java.util.concurrent.atomic.AtomicReference (label="Background rejection", kind="boolean", fallback="true", description="Leave out patches whose target shows mostly background.", required=false, persist=false) background_rejection
#@ java.util.concurrent.atomic.AtomicReference (label="Wait until the end", kind="boolean", fallback="true", description="Off: the command ends at once and the training goes on; Jobs > Monitor Job shows it.", required=false, persist=false) wait
#@ java.util.concurrent.atomic.AtomicReference (label="Steps per epoch", kind="integer", fallback="0", description="Batches per epoch; 0 takes as many as there are patches.", advanced=true, required=false, persist=false) steps_per_epoch
#@ java.util.concurrent.atomic.AtomicReference (label="Seed", kind="integer", fallback="42", description="The same seed, data and machine give the same split and patches.", advanced=true, required=false, persist=false) seed
#@ java.util.concurrent.atomic.AtomicReference (label="Patience", kind="integer", fallback="0", unit="epochs", description="Stop after so many epochs without a better validation loss; 0 never stops early.", advanced=true, required=false, persist=false) patience
#@ java.util.concurrent.atomic.AtomicReference (label="Learning-rate patience", kind="integer", fallback="10", unit="epochs", description="Halve the learning rate after so many epochs without a better validation loss; 0 never does.", advanced=true, required=false, persist=false) reduce_lr_patience
#@ java.util.concurrent.atomic.AtomicReference (label="Depth", kind="integer", fallback="3", description="Resolution levels of the U-Net; more see larger structures.", advanced=true, required=false, persist=false) depth
#@ java.util.concurrent.atomic.AtomicReference (label="Kernel size", kind="integer", fallback="5", unit="pixels", description="Side of the convolution kernels, an odd number.", advanced=true, required=false, persist=false) kernel_size
#@ java.util.concurrent.atomic.AtomicReference (label="First filters", kind="integer", fallback="32", description="Convolution filters of the first level, doubled at each further level.", advanced=true, required=false, persist=false) first_filters
#@ java.util.concurrent.atomic.AtomicReference (label="Loss", kind="choice", fallback="mae", options="mae|mse", description="What the training minimizes: mean absolute or squared error; probabilistic has its own.", advanced=true, required=false, persist=false) loss
#@ java.util.concurrent.atomic.AtomicReference (label="Lower percentile", kind="number", fallback="2", unit="%", description="This percentile of an image becomes 0 for the network.", advanced=true, required=false, persist=false) percentile_low
#@ java.util.concurrent.atomic.AtomicReference (label="Upper percentile", kind="number", fallback="99.8", unit="%", description="This percentile of an image becomes 1 for the network.", advanced=true, required=false, persist=false) percentile_high
#@ java.util.concurrent.atomic.AtomicReference (label="Target normalization", kind="choice", fallback="auto", options="auto|source|own", description="Percentiles that normalize the clean images: those of their noisy partners (source), so that restored images keep the true intensities; their own, for pairs taken at another exposure; auto compares the pairs.", advanced=true, required=false, persist=false) target_normalization
#@ java.util.concurrent.atomic.AtomicReference (label="Background threshold", kind="number", fallback="0.4", description="A patch is background if its bright pixels stay below this share of the image's bright pixels.", advanced=true, required=false, persist=false) background_threshold
#@ java.util.concurrent.atomic.AtomicReference (label="Validation source", kind="image", description="Images to judge the training by; empty: some of the source are kept aside.", advanced=true, required=false, persist=false) validation_source
#@ java.util.concurrent.atomic.AtomicReference (label="Validation target", kind="image", description="The clean images for the validation source.", advanced=true, required=false, persist=false) validation_target
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
    .train(this, 'care-2d', 'CARE 2D', 'Restores noisy or blurred planes, trained on pairs of low and high quality images.')
