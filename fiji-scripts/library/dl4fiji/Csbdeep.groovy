package dl4fiji

import ij.IJ
import ij.ImagePlus
import ij.ImageStack

/**
 * Runs a model in the CSBDeep plugin.
 *
 * Plane by plane or volume by volume, each brought back to its own units. What is not in units of the image, such as a
 * probability, stays as it is.
 */
class Csbdeep extends PluginRun {
    @Override
    protected String title() { 'Run with CSBDeep' }

    @Override
    protected String plugin() { 'CSBDeep' }

    @Override
    protected String command() { NETWORK }

    @Override
    protected String ending() { '.csbdeep.zip' }

    @Override
    protected ImagePlus predict(ImagePlus image) {
        boolean volumes = ((String) info.axes).contains('Z')
        int depth = volumes ? image.NSlices : 1
        List<ImageStack> results = []
        for (int t = 1; t <= image.NFrames; t++)
            for (int z = 1; z <= image.NSlices; z += depth) {
                IJ.showProgress(results.size(), image.NFrames * image.NSlices.intdiv(depth))
                results << sample(image, t, z, depth)
            }
        ImageStack stack = new ImageStack(image.width, image.height)
        results.each { part -> (1..part.size()).each { stack.addSlice(part.getProcessor(it)) } }
        ImagePlus result = new ImagePlus("${image.title} restored", stack)
        int channelsOut = results[0].size().intdiv(depth)
        result.setDimensions(channelsOut, image.NSlices, image.NFrames)
        return dressed(result, image)
    }

    /** Run one plane or volume, in the order channel, slice; return it in units of the image. */
    private ImageStack sample(ImagePlus image, int t, int z, int depth) {
        List<double[]> scales = channelScales(image, t, z, depth)
        ImageStack out = network(normalized(image, scales, t, z, depth))
        if (meta.image_units == false) return out
        int channelsOut = out.size().intdiv(depth)
        for (int i = 0; i < out.size(); i++) {
            int c = i % channelsOut
            double[] scale = scales[Math.min(c % (int) info.channels_out, scales.size() - 1)]
            out.getProcessor(i + 1).multiply(scale[1])
            if (c < info.channels_out) out.getProcessor(i + 1).add(scale[0])  // the others tell how unsure it is
        }
        return out
    }
}
