// Find objects in all images of a folder with Fiji's StarDist plugin (update sites StarDist and CSBDeep). Neither Python
// nor DL4Fiji's service is needed.
//
// Plugins > Macros > Run... asks for the model's folder, which holds NAME.stardist.zip, and for the images.
// Arguments, where it is called by another macro or by fiji -macro:
//   "model=[/models/my model] source=[/data/nuclei] output=[/data/objects]"
// Arguments: model (folder of the model), source, output, probability, nms (thresholds; empty: those of the model), tiles
// (more tiles need less memory).
//
// For each image it saves the label image, and the outlines as a zip for the ROI Manager if the plugin shows one. The
// plugin works on images that are shown, so Fiji must have windows. For images larger than memory, for volumes and for
// a table of objects take predict_a_folder.ijm.
//
// Checks that each result was written and returns their number.

model = folder(argument("model", ""));
source = folder(argument("source", ""));
output = folder(argument("output", ""));
probability = argument("probability", "");
nms = argument("nms", "");
tiles = argument("tiles", "1");
if (model == "" && getInfo("java.awt.headless") != "true") {
    Dialog.create("Find objects in a folder with StarDist");
    Dialog.addDirectory("Folder of the model", "");
    Dialog.addDirectory("Images", "");
    Dialog.addDirectory("Results", "");
    Dialog.addNumber("Tiles", 1);
    Dialog.show();
    model = folder(Dialog.getString());
    source = folder(Dialog.getString());
    output = folder(Dialog.getString());
    tiles = "" + Dialog.getNumber();
}
if (model == "" || source == "" || output == "") exit("Give model=[...] source=[...] output=[...]");
if (!File.exists(source)) exit("There is no folder " + source);
zip = model + File.getName(model) + ".stardist.zip";
if (!File.exists(zip)) exit("There is no " + zip + ": export the model, which must be a StarDist 2D model");
info = File.openAsString(model + "model.json");
if (probability == "") probability = number(info, "thresholds", "probability", "0.5");
if (nms == "") nms = number(info, "thresholds", "nms", "0.4");
low = number(info, "normalization", "low", "1");
high = number(info, "normalization", "high", "99.8");
if (!File.exists(output)) File.makeDirectory(output);

names = getFileList(source);
done = 0;
failed = "";
for (i = 0; i < names.length; i++) {
    if (!isImage(names[i])) continue;
    result = output + stem(names[i]) + ".tif";
    if (File.exists(result)) ok = File.delete(result);
    open(source + names[i]);
    title = getTitle();
    run("Command From Macro", "command=[de.csbdresden.stardist.StarDist2D], args=['input':'" + title +
        "', 'modelChoice':'Model (.zip) from File', 'modelFile':'" + zip + "', 'normalizeInput':'true', 'percentileBottom':'" +
        low + "', 'percentileTop':'" + high + "', 'probThresh':'" + probability + "', 'nmsThresh':'" + nms +
        "', 'outputType':'Both', 'nTiles':'" + tiles + "', 'excludeBoundary':'2', 'roiPosition':'Automatic', " +
        "'verbose':'false', 'showCsbdeepProgress':'false', 'showProbAndDist':'false'], process=[false]");
    if (isOpen("Label Image")) {
        selectWindow("Label Image");
        saveAs("Tiff", result);
        if (roiManager("count") > 0) roiManager("save", output + stem(names[i]) + "_rois.zip");
    }
    close("*");
    if (File.exists(result)) done++;
    else failed = failed + "\n" + names[i];
}
print(done + " results in " + output);
if (failed != "") exit("The StarDist plugin gave no result for:" + failed);
return "" + done;

// Return a number of the model's description: the first one called name behind group.
function number(text, group, name, fallback) {
    start = indexOf(text, "\"" + group + "\"");
    if (start < 0) return fallback;
    end = indexOf(text, "}", start);
    part = substring(text, start, end);
    at = indexOf(part, "\"" + name + "\":");
    if (at < 0) return fallback;
    rest = substring(part, at + lengthOf(name) + 3) + ",";
    rest = replace(substring(rest, 0, indexOf(rest, ",")), "\n", "");
    return "" + parseFloat(rest);
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
