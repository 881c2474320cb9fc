// Run a model on all images of a folder with DeepImageJ 3.1. Neither Python nor DL4Fiji's service is needed.
//
// First put the model into this Fiji: Plugins > DL4Fiji > Models > Install Model in Fiji.
// Plugins > Macros > Run... asks for model and folders. Without windows they are arguments:
//   fiji --headless -macro predict_a_folder_with_deepimagej.ijm "model=[my model] source=[/data/noisy] output=[/data/restored]"
// Arguments: model (its folder's name in Fiji's folder models, or a path), source, output.
//
// DeepImageJ goes on after a failure, and its macro call does not tell. So this macro looks for each image whether a
// result was written, lists those that failed, and ends by an error if there are any. Returns the number of results.

model = argument("model", "");
source = folder(argument("source", ""));
output = folder(argument("output", ""));
if (model == "" && !headless()) {
    Dialog.create("Predict a folder with DeepImageJ");
    Dialog.addString("Model", "", 24);
    Dialog.addDirectory("Images", "");
    Dialog.addDirectory("Results", "");
    Dialog.show();
    model = Dialog.getString();
    source = folder(Dialog.getString());
    output = folder(Dialog.getString());
}
if (model == "" || source == "" || output == "") exit("Give model=[...] source=[...] output=[...]");
if (!File.exists(source)) exit("There is no folder " + source);
if (!File.exists(output)) File.makeDirectory(output);

part = output + "dl4fiji-part" + File.separator;
File.makeDirectory(part);

names = getFileList(source);
done = 0;
failed = "";
for (i = 0; i < names.length; i++) {
    if (!isImage(names[i])) continue;
    run("DeepImageJ Run", "model_path=[" + model + "] input_path=[" + source + names[i] + "] output_folder=[" + part +
        "] display_output=null");
    if (taken(part, output, stem(names[i])) > 0) done++;
    else failed = failed + "\n" + names[i];
}
ok = File.delete(part);
print(done + " results in " + output);
if (failed != "") exit("DeepImageJ wrote no result for:" + failed);
return "" + done;

// Move what DeepImageJ wrote to its place and return how many files that were. DeepImageJ leaves spaces out of the names
// and adds the name of the model's output; here the image's own name is kept: cells 1.tif gives cells 1_output.tif.
function taken(from, to, name) {
    results = getFileList(from);
    count = 0;
    for (j = 0; j < results.length; j++) {
        target = to + name + substring(results[j], lastIndexOf(results[j], "_"));
        if (File.length(from + results[j]) > 0) count++;
        if (File.exists(target)) ok = File.delete(target);
        ok = File.rename(from + results[j], target);
    }
    return count;
}

function isImage(name) {
    name = toLowerCase(name);
    return endsWith(name, ".tif") || endsWith(name, ".tiff") || endsWith(name, ".png") || endsWith(name, ".jpg");
}

function stem(name) {
    return substring(name, 0, lastIndexOf(name, "."));
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

function folder(path) {
    if (path != "" && !endsWith(path, "/") && !endsWith(path, "\\")) path = path + "/";
    return path;
}

function headless() {
    if (getInfo("java.awt.headless") == "true") return true;
    return false;
}
