// Run a model on all images of a folder through DL4Fiji's service. A file that cannot be read does not stop the others.
//
// Plugins > Macros > Run... asks for model and folders. Without windows they are arguments:
//   dl4fiji fiji --headless --macro predict_a_folder.ijm --args "model=[my model] source=[/data/noisy] output=[/data/restored]"
// Arguments: model, source, output, tile_size (0: by the memory at hand).
//
// Checks that each result is there and returns the number of results.

model = argument("model", "");
source = argument("source", "");
output = argument("output", "");
if (model == "" && !headless()) {
    Dialog.create("Predict a folder");
    Dialog.addString("Model", "", 24);
    Dialog.addDirectory("Images", "");
    Dialog.addDirectory("Results", "");
    Dialog.show();
    model = Dialog.getString();
    source = Dialog.getString();
    output = Dialog.getString();
}
if (model == "" || source == "" || output == "") exit("Give model=[...] source=[...] output=[...]");

run("DL4Fiji Predict", "model=" + encoded(model) + " source=" + encoded(source) + " output=" + encoded(output) +
    " show=false tile_size=" + argument("tile_size", "0"));

files = split(getInfo("dl4fiji.files"), "\n");
missing = 0;
for (i = 0; i < files.length; i++) {
    if (!File.exists(files[i])) {
        print("Missing: " + files[i]);
        missing++;
    }
}
print(files.length - missing + " results in " + output);
if (missing > 0) exit(missing + " results are missing; see the lines above");
return "" + files.length;

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
