// Find objects in all images of a folder with Fiji's StarDist plugin (update sites StarDist and CSBDeep). Neither Python
// nor DL4Fiji's service is needed; DL4Fiji's menu must be in this Fiji (`dl4fiji install`).
//
// Plugins > Macros > Run... asks for the model's folder, which holds NAME.stardist.zip, and for the images.
// Without windows they are arguments:
//   fiji --headless -macro predict_a_folder_with_stardist.ijm "model=[/models/my model] source=[/data/nuclei] output=[/data/objects]"
// Arguments: model (folder of the model), source, output, probability, nms (thresholds; empty: those of the model), tiles
// (more tiles need less memory).
//
// For each image it saves the label image, plane by plane. For images larger than memory, for volumes, outlines and a
// table of objects take predict_a_folder.ijm.
//
// Checks that each result was written and returns their number.

model = argument("model", "");
source = folder(argument("source", ""));
output = folder(argument("output", ""));
probability = argument("probability", "");
nms = argument("nms", "");
tiles = argument("tiles", "1");
if (model == "" && !headless()) {
    Dialog.create("Find objects in a folder with StarDist");
    Dialog.addDirectory("Folder of the model", "");
    Dialog.addDirectory("Images", "");
    Dialog.addDirectory("Results", "");
    Dialog.addNumber("Tiles", 1);
    Dialog.show();
    model = Dialog.getString();
    source = folder(Dialog.getString());
    output = folder(Dialog.getString());
    tiles = "" + Dialog.getNumber();
}
if (model == "" || source == "" || output == "") exit("Give model=[...] source=[...] output=[...]");
if (!File.exists(source)) exit("There is no folder " + source);
if (!File.exists(output)) File.makeDirectory(output);
thresholds = "";
if (probability != "") thresholds = thresholds + " probability=" + probability;
if (nms != "") thresholds = thresholds + " nms=" + nms;

names = getFileList(source);
done = 0;
failed = "";
for (i = 0; i < names.length; i++) {
    if (!isImage(names[i])) continue;
    result = output + stem(names[i]) + ".tif";
    if (File.exists(result)) ok = File.delete(result);
    run("Run with StarDist", "model=" + encoded(model) + " source=" + encoded(source + names[i]) + " output=" +
        encoded(result) + " tiles=" + tiles + thresholds);
    if (File.exists(result)) done++;
    else failed = failed + "\n" + names[i];
}
print(done + " results in " + output);
if (failed != "") exit("The StarDist plugin gave no result for:" + failed);
return "" + done;

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
