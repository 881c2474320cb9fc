package dl4fiji

import ij.IJ
import ij.ImagePlus
import ij.ImageStack
import ij.process.ImageProcessor

/**
 * Finds objects by a model in the StarDist plugin, plane by plane; the result is a label image.
 *
 * The plugin's two steps are called one by one: its own command always pads the image to a multiple of 64, which changes
 * objects at borders, and lets tiles overlap by 64 pixels even where the network sees further.
 */
class Stardist extends PluginRun {
    private double probability
    private double nms

    @Override
    protected String title() { 'Run with StarDist' }

    @Override
    protected String plugin() { 'StarDist' }

    @Override
    protected String command() { 'de.csbdresden.stardist.StarDist2DNMS' }

    @Override
    protected String ending() { '.stardist.zip' }

    @Override
    protected void check(Inputs inputs) {
        probability = threshold(inputs, 'probability', 0.5d)
        nms = threshold(inputs, 'nms', 0.4d)
    }

    private double threshold(Inputs inputs, String name, double usual) {
        if (!inputs.text(name).trim()) return (info.thresholds[name] == null ? usual : info.thresholds[name]) as double
        Double value = inputs.text(name).trim().isDouble() ? inputs.text(name).trim() as double : null
        if (value == null || !(value >= 0 && value <= 1))
            throw new Fault("The option '$name' is '${inputs.text(name)}' but must be a number from 0 to 1.")
        return value
    }

    @Override
    protected ImagePlus predict(ImagePlus image) {
        ImageStack stack = new ImageStack(image.width, image.height)
        for (int t = 1; t <= image.NFrames; t++)
            for (int z = 1; z <= image.NSlices; z++) {
                IJ.showProgress(stack.size(), image.NFrames * image.NSlices)
                stack.addSlice(labels(normalized(image, channelScales(image, t, z, 1), t, z, 1)))
            }
        ImagePlus result = new ImagePlus("${image.title} objects", stack)
        result.setDimensions(1, image.NSlices, image.NFrames)
        return dressed(result, image)
    }

    private ImageProcessor labels(ImagePlus plane) {
        ImageStack found = network(plane)
        ImagePlus probabilities = new ImagePlus('probability', found.getProcessor(1))
        found.deleteSlice(1)
        ImagePlus distances = new ImagePlus('distances', found)
        distances.setDimensions(found.size(), 1, 1)
        // excludeBoundary: as stardist does in Python, candidates within 2 pixels of the border are left out
        Map inputs = [prob: dataset(probabilities), dist: dataset(distances), probThresh: probability, nmsThresh: nms,
                      outputType: 'Label Image', excludeBoundary: 2, roiPosition: 'Stack', verbose: false]
        return call(command(), inputs, 'label').getProcessor()
    }
}
