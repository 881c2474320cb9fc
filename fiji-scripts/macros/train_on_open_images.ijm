// Train CARE on two open images: a noisy one and the clean one of the same field (single planes, stacks or recordings).
//
// With two images open, Plugins > Macros > Run... asks which is which. Without windows the macro opens two files:
//   dl4fiji fiji --headless --macro train_on_open_images.ijm --args "noisy=/data/noisy.tif clean=/data/clean.tif"
// Arguments: noisy, clean (files to open), command (CARE 2D or CARE 3D), name, epochs, more (further options as the
// recorder writes them).
//
// The images are handed over as they are, with axes and calibration. Returns the folder of the model.

command = argument("command", "CARE 2D");
name = argument("name", "");
epochs = argument("epochs", "100");
more = argument("more", "");
noisyFile = argument("noisy", "");
cleanFile = argument("clean", "");
if (noisyFile != "") {
    noisy = opened(noisyFile);
    clean = opened(cleanFile);
} else {
    if (nImages < 2) exit("Open a noisy and a clean image first, or give files: noisy=[...] clean=[...]");
    titles = getList("image.titles");
    Dialog.create("Train on open images");
    Dialog.addChoice("Noisy", titles, titles[0]);
    Dialog.addChoice("Clean", titles, titles[1]);
    Dialog.addChoice("Network", newArray("CARE 2D", "CARE 3D"));
    Dialog.addNumber("Epochs", 100);
    Dialog.show();
    noisy = Dialog.getChoice();
    clean = Dialog.getChoice();
    command = Dialog.getChoice();
    epochs = "" + Dialog.getNumber();
}

options = "source=" + encoded(noisy) + " target=" + encoded(clean) + " epochs=" + epochs + " " + more;
if (name != "") options = options + " name=" + encoded(name);
run(command, options);

if (getInfo("dl4fiji.state") != "COMPLETE") exit("The training ended as " + getInfo("dl4fiji.state"));
print("Trained: " + getInfo("dl4fiji.model") + " in " + getInfo("dl4fiji.folder"));
return getInfo("dl4fiji.folder");

// Open a file and return the title of its window.
function opened(path) {
    if (!File.exists(path)) exit("There is no file " + path);
    open(path);
    return getTitle();
}

// Return an argument of this macro, given as name=value or name=[a value with spaces].
function argument(name, fallback) {
    all = " " + getArgument() + " ";
    start = indexOf(all, " " + name + "=");
    if (start < 0) return fallback;
    rest = substring(all, start + lengthOf(name) + 2);
    if (startsWith(rest, "[")) return substring(rest, 1, indexOf(rest, "]"));
    return substring(rest, 0, indexOf(rest, " "));
}

// Write any text so that it can stand in the options of a DL4Fiji command, also with brackets in it.
function encoded(text) {
    text = replace(text, "%", "%25");
    text = replace(text, " ", "%20");
    text = replace(text, "\\[", "%5B");
    text = replace(text, "\\]", "%5D");
    return "encoded:" + text;
}
