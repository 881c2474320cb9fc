// Train CARE on two folders of images with the same file names: noisy ones and clean ones.
//
// Plugins > Macros > Run... asks for the folders. Without windows they are arguments:
//   dl4fiji fiji --headless --macro train_on_a_folder.ijm --args "source=[/data/noisy] target=[/data/clean] epochs=50"
// Arguments: source, target, command (CARE 2D or CARE 3D), name (of the model; empty: made from the folder's name),
// epochs, more (further options as the recorder writes them, e.g. more=[batch_size=8 patch_size=64x64]).
//
// The macro waits until the training has ended and returns the folder of the model.

source = argument("source", "");
target = argument("target", "");
command = argument("command", "CARE 2D");
name = argument("name", "");
epochs = argument("epochs", "100");
more = argument("more", "");
if (source == "" && !headless()) {
    Dialog.create("Train on a folder");
    Dialog.addDirectory("Noisy images", "");
    Dialog.addDirectory("Clean images", "");
    Dialog.addChoice("Network", newArray("CARE 2D", "CARE 3D"));
    Dialog.addString("Name of the model", "", 24);
    Dialog.addNumber("Epochs", 100);
    Dialog.show();
    source = Dialog.getString();
    target = Dialog.getString();
    command = Dialog.getChoice();
    name = Dialog.getString();
    epochs = "" + Dialog.getNumber();
}
if (source == "" || target == "") exit("Give the folders: source=[...] target=[...]");

options = "source=" + encoded(source) + " target=" + encoded(target) + " epochs=" + epochs + " " + more;
if (name != "") options = options + " name=" + encoded(name);
run(command, options);  // ends this macro by a message if something is wrong

if (getInfo("dl4fiji.state") != "COMPLETE") exit("The training ended as " + getInfo("dl4fiji.state"));
print("Trained: " + getInfo("dl4fiji.model") + " in " + getInfo("dl4fiji.folder"));
return getInfo("dl4fiji.folder");

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

function headless() {
    if (getInfo("java.awt.headless") == "true") return true;
    return false;
}
