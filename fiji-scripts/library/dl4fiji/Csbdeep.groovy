package dl4fiji

import groovy.json.JsonSlurper
import ij.IJ
import ij.ImagePlus
import ij.ImageStack
import ij.io.FileSaver
import ij.process.FloatProcessor

/**
 * Runs a model in the CSBDeep plugin, without Python and without the service.
 *
 * The plugin's own command shows its result in a window only, and its macro call opens a dialog for its button in Fijis
 * with imagej-legacy before 2.0.3. Here the command is called by its class, plane by plane or volume by volume, each
 * normalized and brought back to its own units by the definition that training used: the percentile p of n values is
 * the one at the position int(n * p / 100) of the sorted values.
 */
class Csbdeep {
    private static final String TITLE = 'Run with CSBDeep'
    private static final String COMMAND = 'de.csbdresden.csbdeep.commands.GenericNetwork'
    private static final double EPSILON = 1e-6d

    private Map info
    private File zip
    private int tiles
    private Object commands
    private Object converter

    /** Run the command for a script's module and return its outputs. */
    Map<String, Object> run(Object module) {
        Inputs inputs = Inputs.of(module, TITLE) { fields -> ask(fields) }
        if (!inputs.text('model') || !inputs.text('source'))
            throw new Fault("$TITLE needs a model and an image: e.g. run(\"$TITLE\", \"model=[/models/my model] source=[/data/noisy.tif] output=[/data/restored.tif]\").")
        prepare(module, inputs)
        ImagePlus image = OpenImages.find(inputs.text('source')) ?: IJ.openImage(Handover.home(inputs.text('source')))
        if (image == null) throw new Fault("There is no open image and no image file '${inputs.text('source')}'.")
        String output = Handover.home(inputs.text('output'))
        File folder = output ? new File(output).absoluteFile.parentFile : null
        if (folder && !folder.directory && !folder.mkdirs()) throw new Fault("The folder $folder could not be made: choose another place.")
        ImagePlus result = predict(image)
        if (output) {
            boolean saved = result.stackSize > 1 ? new FileSaver(result).saveAsTiffStack(output) : new FileSaver(result).saveAsTiff(output)
            if (!saved || !new File(output).length()) throw new Fault("The result could not be written to $output: choose another place.")
        } else if (Gui.available()) {
            result.show()
        }
        return [files: output]
    }

    private Map<String, String> ask(List<Field> fields) {
        Form form = new Form(TITLE, 'Runs a model in the CSBDeep plugin, in this Fiji, without Python.', fields,
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
        zip = folder.listFiles()?.find { it.name.endsWith('.csbdeep.zip') }
        File description = new File(folder, 'model.json')
        if (!zip || !description.file)
            throw new Fault("'$model' is no folder of a model for CSBDeep: it must hold model.json and a file ending in .csbdeep.zip.")
        info = (Map) new JsonSlurper().parse(description, 'UTF-8')
        if (info.normalization.kind != 'percentile')
            throw new Fault("The model '${info.name}' normalizes by ${info.normalization.kind}: run it by DeepImageJ.")
        tiles = Math.max(1, inputs.typed(inputs.fields.find { it.name == 'tiles' }) as int)
        commands = module.context.getService('org.scijava.command.CommandService')
        converter = module.context.getService('org.scijava.convert.ConvertService')
        try {
            commands.class.classLoader.loadClass(COMMAND)
        } catch (ClassNotFoundException ignored) {
            throw new Fault('The CSBDeep plugin is not in this Fiji: add the update site CSBDeep by Help ▸ Update…, Manage update sites.')
        }
    }

    private ImagePlus predict(ImagePlus image) {
        boolean volumes = ((String) info.axes).contains('Z')
        int channels = image.NChannels
        if (image.bitDepth == 24 || channels != info.channels_in)
            throw new Fault("'${image.title}' has ${image.bitDepth == 24 ? 'RGB colors' : "$channels channels"} but the model takes ${info.channels_in}: split or merge its channels.")
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
        result.openAsHyperStack = stack.size() > 1
        result.calibration = image.calibration.copy().with { disableDensityCalibration(); it }
        IJ.resetMinAndMax(result)
        return result
    }

    /** Run one plane or volume, in the order channel, slice; return it in units of the image. */
    private ImageStack sample(ImagePlus image, int t, int z, int depth) {
        int channels = image.NChannels
        List<double[]> scales = (1..channels).collect { c -> scale(image, c, z, depth, t) }
        ImageStack stack = new ImageStack(image.width, image.height)
        for (int s = z; s < z + depth; s++)
            for (int c = 1; c <= channels; c++) {
                FloatProcessor plane = values(image, c, s, t)
                plane.subtract(scales[c - 1][0])
                plane.multiply(1 / scales[c - 1][1])
                stack.addSlice(plane)
            }
        ImagePlus part = new ImagePlus('part', stack)
        part.setDimensions(channels, depth, 1)
        part.openAsHyperStack = stack.size() > 1
        ImageStack out = network(part)
        int channelsOut = out.size().intdiv(depth)
        for (int i = 0; i < out.size(); i++) {
            int c = i % channelsOut
            double[] scale = scales[Math.min(c % (int) info.channels_out, channels - 1)]
            out.getProcessor(i + 1).multiply(scale[1])
            if (c < info.channels_out) out.getProcessor(i + 1).add(scale[0])  // the others tell how unsure it is
        }
        return out
    }

    private ImageStack network(ImagePlus part) {
        Object dataset = converter.convert(part, commands.class.classLoader.loadClass('net.imagej.Dataset'))
        int multiple = 1 << (int) info.options.depth
        Map inputs = [input: dataset, normalizeInput: false, clip: false, nTiles: tiles, blockMultiple: multiple,
                      overlap: Math.max(32, 8 * multiple), batchSize: 1, modelFile: zip, showProgressDialog: false]
        // without preprocessing, which would open a dialog for the command's button
        Object output = commands.run(COMMAND, false, (Map<String, Object>) inputs).get()?.getOutput('output')
        if (output == null) throw new Fault('The CSBDeep plugin gave no result: see its messages in the Console window.')
        return ((ImagePlus) converter.convert(output, ImagePlus)).getStack().duplicate().convertToFloat()
    }

    private static FloatProcessor values(ImagePlus image, int c, int z, int t) {
        (FloatProcessor) image.getStack().getProcessor(image.getStackIndex(c, z, t)).duplicate().convertToFloatProcessor()
    }

    /** Return offset and range of a channel. */
    private double[] scale(ImagePlus image, int c, int z, int depth, int t) {
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
