package dl4fiji

import groovy.json.JsonSlurper
import ij.IJ
import ij.ImagePlus
import ij.ImageStack
import ij.io.FileSaver
import ij.plugin.ChannelSplitter
import ij.plugin.RGBStackMerge
import ij.process.FloatProcessor

import java.util.zip.ZipFile

/**
 * Runs a model in a plugin of this Fiji, without Python and without the service.
 *
 * The plugins' own commands show their results in windows and nowhere else, which a macro without windows cannot save.
 * Here the plugin's command is called by its class, and its output is taken from it.
 *
 * Images are normalized here, by the definition that training used: the percentile p of n values is the one at the
 * position int(n * p / 100) of the sorted values. Networks that normalize by constants have these in the zip's graph.
 */
abstract class PluginRun {
    /** The command of CSBDeep that runs a network; StarDist runs its networks by it, too. */
    protected static final String NETWORK = 'de.csbdresden.csbdeep.commands.GenericNetwork'

    private static final double EPSILON = 1e-6d

    protected Map info
    /** Content of meta.json in the plugin's zip. */
    protected Map meta
    protected File zip
    protected int tiles
    protected Object commands
    protected Object converter

    /** Name of the menu command. */
    protected abstract String title()

    /** Name of the plugin and of its update site. */
    protected abstract String plugin()

    /** Class of the plugin's command. */
    protected abstract String command()

    /** How the name of the plugin's zip ends. */
    protected abstract String ending()

    /** Read further inputs of the command; refuse what they cannot be. */
    protected void check(Inputs inputs) {}

    protected abstract ImagePlus predict(ImagePlus image)

    /** Run the command for a script's module and return its outputs. */
    Map<String, Object> run(Object module) {
        Inputs inputs = Inputs.of(module, title()) { fields -> ask(fields) }
        if (!inputs.text('model') || !inputs.text('source'))
            throw new Fault("${title()} needs a model and an image: e.g. run(\"${title()}\", \"model=[/models/my model] source=[/data/noisy.tif] output=[/data/result.tif]\").")
        prepare(module, inputs)
        ImagePlus image = OpenImages.find(inputs.text('source')) ?: IJ.openImage(Handover.home(inputs.text('source')))
        if (image == null) throw new Fault("There is no open image and no image file '${inputs.text('source')}'.")
        String output = Handover.home(inputs.text('output'))
        File folder = output ? new File(output).absoluteFile.parentFile : null
        if (folder && !folder.directory && !folder.mkdirs()) throw new Fault("The folder $folder could not be made: choose another place.")
        ImagePlus result = predict(channels(image))
        if (output) {
            boolean saved = result.stackSize > 1 ? new FileSaver(result).saveAsTiffStack(output) : new FileSaver(result).saveAsTiff(output)
            if (!saved || !new File(output).length()) throw new Fault("The result could not be written to $output: choose another place.")
        } else if (Gui.available()) {
            result.show()
        }
        return [files: output]
    }

    protected Map<String, String> ask(List<Field> fields) {
        Form form = new Form(title(), "Runs a model in the ${plugin()} plugin, in this Fiji, without Python.".toString(), fields,
            [source: ij.WindowManager.currentImage?.title ?: ''], { Map values ->
                values.model.trim() && values.source.trim() ? [ok: true, text: ''] :
                    [ok: false, text: "Choose the model's folder and an image."]
            })
        form.okLabel = 'Run'
        form.proposals = [source: OpenImages.titles()]
        return form.ask()
    }

    private void prepare(Object module, Inputs inputs) {
        String model = Handover.home(inputs.text('model'))
        File folder = new File(model)
        if (!folder.directory) folder = new File(Installation.home(), "models/$model")
        zip = folder.listFiles()?.find { it.name.endsWith(ending()) }
        File description = new File(folder, 'model.json')
        if (!zip || !description.file)
            throw new Fault("'$model' is no folder of a model for ${plugin()}: it must hold model.json and a file ending in ${ending()}.")
        info = (Map) new JsonSlurper().parse(description, 'UTF-8')
        if (!(info.normalization.kind in ['percentile', 'fixed']))  // what `scale` knows
            throw new Fault("The model '${info.name}' normalizes by ${info.normalization.kind}: run it by DeepImageJ.")
        tiles = Math.max(1, inputs.typed(inputs.fields.find { it.name == 'tiles' }) as int)
        meta = new ZipFile(zip).withCloseable { archive ->
            (Map) new JsonSlurper().parse(archive.getInputStream(archive.getEntry('meta.json')), 'UTF-8')
        }
        check(inputs)
        commands = module.context.getService('org.scijava.command.CommandService')
        converter = module.context.getService('org.scijava.convert.ConvertService')
        [(command()): plugin(), (NETWORK): 'CSBDeep'].each { String name, String site ->
            try {
                commands.class.classLoader.loadClass(name)
            } catch (ClassNotFoundException ignored) {
                throw new Fault("The $site plugin is not in this Fiji: add the update site $site by Help ▸ Update…, Manage update sites.")
            }
        }
    }

    /** Run the network on a normalized sample; return its channels in the order channel, slice, 32 bits. */
    protected ImageStack network(ImagePlus sample) {
        Map inputs = [input: dataset(sample), normalizeInput: false, clip: false, nTiles: tiles, batchSize: 1,
                      modelFile: zip, blockMultiple: ((List) meta.axes_div_by).max(),
                      overlap: ((List) meta.tile_overlap).max(), showProgressDialog: false]
        return call(NETWORK, inputs, 'output').getStack().duplicate().convertToFloat()
    }

    protected Object dataset(ImagePlus image) {
        converter.convert(image, commands.class.classLoader.loadClass('net.imagej.Dataset'))
    }

    /** Call a command of a plugin by its class; return the image that it gives under a name. */
    protected ImagePlus call(String command, Map inputs, String name) {
        // without preprocessing, which would open a dialog for the command's button
        Object output = commands.run(command, false, (Map<String, Object>) inputs).get()?.getOutput(name)
        if (output == null) throw new Fault("The ${plugin()} plugin gave no result: see its messages in the Console window.")
        return (ImagePlus) converter.convert(output, ImagePlus)
    }

    /** Return the normalized planes of a sample, in the order channel, slice. */
    protected static ImagePlus normalized(ImagePlus image, List<double[]> scales, int t, int z, int depth) {
        ImageStack stack = new ImageStack(image.width, image.height)
        for (int s = z; s < z + depth; s++)
            scales.eachWithIndex { double[] scale, int c ->
                FloatProcessor plane = values(image, c + 1, s, t)
                plane.subtract(scale[0])
                plane.multiply(1 / scale[1])
                stack.addSlice(plane)
            }
        ImagePlus sample = new ImagePlus('sample', stack)
        sample.setDimensions(scales.size(), depth, 1)
        sample.openAsHyperStack = stack.size() > 1
        return sample
    }

    /** Return offset and range of each channel of a sample. */
    protected List<double[]> channelScales(ImagePlus image, int t, int z, int depth) {
        (1..image.NChannels).collect { c -> scale(image, c, z, depth, t) }
    }

    /** Give a result the calibration of its image. */
    protected static ImagePlus dressed(ImagePlus result, ImagePlus image) {
        result.openAsHyperStack = result.stackSize > 1
        result.calibration = image.calibration.copy().with { disableDensityCalibration(); it }
        IJ.resetMinAndMax(result)
        return result
    }

    /** Return the image with as many channels as the model takes; colors become three. */
    private ImagePlus channels(ImagePlus image) {
        if (image.bitDepth == 24 && info.channels_in == 3)
            return RGBStackMerge.mergeChannels(ChannelSplitter.split(image), false).with { title = image.title; it }
        if (image.bitDepth == 24 || image.NChannels != info.channels_in)
            throw new Fault("'${image.title}' has ${image.bitDepth == 24 ? 'RGB colors' : "${image.NChannels} channels"} but the model takes ${info.channels_in}: split or merge its channels.")
        return image
    }

    protected static FloatProcessor values(ImagePlus image, int c, int z, int t) {
        (FloatProcessor) image.getStack().getProcessor(image.getStackIndex(c, z, t)).duplicate().convertToFloatProcessor()
    }

    /** Return offset and range of a channel. */
    protected double[] scale(ImagePlus image, int c, int z, int depth, int t) {
        if (info.normalization.kind == 'fixed') return [0, 1] as double[]
        int size = image.width * image.height
        float[] all = new float[size * depth]
        for (int s = 0; s < depth; s++) System.arraycopy(values(image, c, z + s, t).pixels, 0, all, s * size, size)
        Arrays.parallelSort(all)
        double low = at(all, info.normalization.low as double)
        double high = at(all, info.normalization.high as double)
        return [low, high - low + EPSILON] as double[]
    }

    private static double at(float[] sorted, double percentile) {
        sorted[Math.min(sorted.length - 1, (int) (sorted.length * (percentile / 100d)))]
    }
}
