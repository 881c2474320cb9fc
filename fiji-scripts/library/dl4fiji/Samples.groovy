package dl4fiji

import ij.IJ
import ij.ImagePlus
import ij.process.FloatProcessor
import java.awt.Color
import java.awt.Font
import java.awt.Graphics2D
import java.awt.RenderingHints
import java.awt.image.BufferedImage
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipFile

/** Draws input, prediction and truth of a validation image from a model's folder, side by side. */
class Samples {
    private static final int SIDE = 260
    private static final int GAP = 8
    private static final int CAPTION = 22

    /**
     * Return the picture; null if the folder has no such images.
     *
     * @param masks whether the truth is a mask, whose values have nothing to do with those of the input
     */
    static BufferedImage picture(File folder, boolean masks = false) {
        File samples = new File(folder, 'samples.npz')
        File predicted = new File(folder, 'package/sample_output.tif')
        if (!samples.file || !predicted.file) return null
        Map<String, FloatProcessor> planes = [input: plane(samples, 'input')]
        ImagePlus prediction = IJ.openImage(predicted.path)
        if (prediction == null || planes.input == null) return null
        // Of several classes the first channel is the background.
        int channel = masks && prediction.NChannels > 1 ? 2 : 1
        planes.prediction = projection((1..prediction.NSlices).collect {
            (FloatProcessor) prediction.getStack().getProcessor(prediction.getStackIndex(channel, it, 1)).convertToFloat()
        })
        FloatProcessor truth = plane(samples, 'truth')
        if (truth != null) planes.truth = truth
        double[] range = range(truth ?: planes.prediction)
        BufferedImage picture = new BufferedImage(planes.size() * (SIDE + GAP) - GAP, SIDE + CAPTION, BufferedImage.TYPE_INT_RGB)
        Graphics2D graphics = picture.createGraphics()
        graphics.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON)
        graphics.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR)
        graphics.color = new Color(0xf2f2f2)
        graphics.fillRect(0, 0, picture.width, picture.height)
        graphics.font = new Font(Font.SANS_SERIF, Font.PLAIN, 13)
        planes.eachWithIndex { name, plane, index ->
            int x = index * (SIDE + GAP)
            double[] shown = masks ? (name == 'prediction' ? [0d, 1d] as double[] : Samples.range(plane)) : range
            plane.setMinAndMax(shown[0], shown[1])
            double scale = Math.min((double) SIDE / plane.width, (double) SIDE / plane.height)
            graphics.drawImage(plane.bufferedImage, x, CAPTION, (int) (plane.width * scale), (int) (plane.height * scale), null)
            graphics.color = Color.DARK_GRAY
            graphics.drawString(name, x + 2, CAPTION - 7)
        }
        graphics.dispose()
        return picture
    }

    /** Return the 0.1 and 99.9 percentiles. */
    private static double[] range(FloatProcessor plane) {
        float[] sorted = ((float[]) plane.pixels).clone()
        Arrays.sort(sorted)
        double low = sorted[(int) (0.001d * sorted.length)]
        double high = sorted[Math.min(sorted.length - 1, (int) (0.999d * sorted.length))]
        return [low, high > low ? high : low + 1] as double[]
    }

    /** Return the maximum along the slices. */
    private static FloatProcessor projection(List<FloatProcessor> slices) {
        FloatProcessor most = (FloatProcessor) slices[0].duplicate()
        slices.drop(1).each { slice -> (0..<most.pixelCount).each { most.setf(it, Math.max(most.getf(it), slice.getf(it))) } }
        return most
    }

    /** Return the first channel of an array (…, Y, X, C) in a NumPy archive; null if it has no such array. */
    private static FloatProcessor plane(File archive, String name) {
        byte[] content = new ZipFile(archive).withCloseable { zip ->
            def entry = zip.getEntry("${name}.npy")
            entry == null ? null : zip.getInputStream(entry).bytes
        }
        if (content == null) return null
        ByteBuffer buffer = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN)
        boolean old = content[6] == 1
        int start = old ? 10 : 12
        int length = old ? buffer.getShort(8) & 0xffff : buffer.getInt(8)
        String header = new String(content, start, length, 'ISO-8859-1')
        String type = (header =~ /'descr':\s*'([^']+)'/)[0][1]
        List<Integer> shape = ((header =~ /'shape':\s*\(([^)]*)\)/)[0][1] as String).tokenize(', ')*.toInteger()
        int channels = shape[-1]
        int width = shape[-2]
        int height = shape[-3]
        int slices = shape.dropRight(3).inject(1) { product, n -> product * n }
        buffer.position(start + length)
        Closure<Number> next = reader(buffer, type)
        if (next == null) return null
        return projection((0..<slices).collect {
            FloatProcessor plane = new FloatProcessor(width, height)
            (0..<width * height).each { pixel ->
                plane.setf(pixel, next() as float)
                (1..<channels).each { next() }
            }
            plane
        })
    }

    private static Closure<Number> reader(ByteBuffer buffer, String type) {
        switch (type) {
            case ['|u1', '<u1']: return { buffer.get() & 0xff }
            case '<u2': return { buffer.getShort() & 0xffff }
            case '<f4': return { buffer.getFloat() }
            case '<f8': return { buffer.getDouble() }
            default: return null
        }
    }
}
