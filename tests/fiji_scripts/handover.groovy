// Makes images from seeds 0, 1, …, hands them over, and compares what comes back. Run by test_i3_handover.py with
// given.action = "save" and given.folders, or "compare" and given.files, given.results.
import dl4fiji.OpenImages
import groovy.json.JsonOutput
import ij.*
import ij.measure.Calibration
import ij.process.*

class Planes extends VirtualStack {
    List<ImageProcessor> planes
    List<String> labels

    Planes(List<ImageProcessor> planes, List<String> labels) {
        super(planes[0].width, planes[0].height, null, null)
        this.planes = planes
        this.labels = labels
        bitDepth = planes[0].bitDepth
    }

    ImageProcessor getProcessor(int n) { planes[n - 1].duplicate() }

    int getSize() { planes.size() }

    int size() { planes.size() }

    String getSliceLabel(int n) { labels[n - 1] }
}

ImageProcessor plane(String type, int width, int height, Random random) {
    switch (type) {
        case 'rgb':
            return new ColorProcessor(width, height, (0..<width * height).collect { random.nextInt() & 0xffffff } as int[])
        case '32':
            return new FloatProcessor(width, height, (0..<width * height).collect { (float) random.nextGaussian() * 1000 } as float[])
        case ['16', 'signed']:
            return new ShortProcessor(width, height, (0..<width * height).collect { (short) random.nextInt() } as short[], null)
        default:
            return new ByteProcessor(width, height, (0..<width * height).collect { (byte) random.nextInt() } as byte[])
    }
}

LUT colors(Random random) {
    byte[][] parts = (0..2).collect { byte[] part = new byte[256]; random.nextBytes(part); part }
    return new LUT(parts[0], parts[1], parts[2])
}

ImagePlus make(long seed) {
    Random random = new Random(seed)
    def pick = { List all -> all[random.nextInt(all.size())] }
    String type = pick(['8', '16', '32', 'rgb', 'color', 'signed', '8', '16', '32'])
    boolean plain = type in ['rgb', 'color']
    int c = plain ? 1 : 1 + random.nextInt(3)
    int z = type == 'color' ? 1 : 1 + random.nextInt(4)
    int t = type == 'color' ? 1 : 1 + random.nextInt(3)
    int width = 1 + random.nextInt(23)
    int height = 1 + random.nextInt(23)
    int count = c * z * t
    List<ImageProcessor> planes = (1..count).collect { plane(type, width, height, random) }
    boolean labeled = random.nextBoolean()
    List<String> labels = (1..count).collect { labeled ? "plane $it ${pick(['a', 'é', 'x=1'])}".toString() : null }
    ImageStack stack
    if (count > 1 && random.nextBoolean()) {
        stack = new Planes(planes, labels)
    } else {
        stack = new ImageStack(width, height)
        planes.eachWithIndex { it, i -> stack.addSlice(labels[i], it) }
    }
    ImagePlus image = new ImagePlus("seed $seed: é \"q\" [x] a/b", stack)
    image.setDimensions(c, z, t)
    image.openAsHyperStack = count > 1
    if (c > 1) {
        image = new CompositeImage(image, pick([CompositeImage.COMPOSITE, CompositeImage.COLOR, CompositeImage.GRAYSCALE]))
        (1..c).each { image.setChannelLut(colors(random), it) }
    } else if (type == 'color') {
        image.getProcessor().lut = colors(random)
        image.setProcessor(image.getProcessor())
    }
    image.calibration = calibration(type, pick, random)
    if (random.nextBoolean()) image.setProperty('Info', 'Objective: 63x\nµ = 1 "quoted"')
    return image
}

Calibration calibration(String type, Closure pick, Random random) {
    Calibration calibration = new Calibration()
    if (random.nextInt(4)) {
        calibration.unit = pick(['µm', 'nm', 'mm', 'pixel', 'inch', 'furlong'])
        calibration.pixelWidth = pick([0.0645d, 0.1d, 1d, 6.45d, 0.325d, 108.3d, 1 / 3d])
        calibration.pixelHeight = random.nextInt(3) ? calibration.pixelWidth : pick([0.2d, 2d, 0.77d])
        calibration.pixelDepth = pick([0.3d, 1d, 5d, 0.125d])
        calibration.frameInterval = pick([0d, 0.5d, 30d, 1.25d])
        calibration.timeUnit = pick(['sec', 'min', 'ms'])
        calibration.xOrigin = pick([0d, 3.5d])
        calibration.yOrigin = pick([0d, -2d])
    }
    if (type == 'signed') calibration.setSigned16BitCalibration()
    return calibration
}

/** What a user sees of an image, as far as TIFF and ImageJ can keep it. */
Map facts(ImagePlus image) {
    Calibration cal = image.calibration
    [size: [image.width, image.height, image.NChannels, image.NSlices, image.NFrames], bits: image.bitDepth,
     pixel: [cal.pixelWidth, cal.pixelHeight, image.stackSize > 1 ? cal.pixelDepth : 1],
     unit: cal.unit, interval: cal.frameInterval, timeUnit: cal.frameInterval ? cal.timeUnit : '', origin: [cal.xOrigin, cal.yOrigin],
     labels: image.stackSize > 1 ? (1..image.stackSize).collect { image.getStack().getSliceLabel(it) } : [],
     info: image.infoProperty, colors: image.type == ImagePlus.COLOR_256 || image.composite ? luts(image) : []]
}

List<String> luts(ImagePlus image) { image.luts.collect { it.bytes.encodeHex().toString() } }

List<Float> values(ImagePlus image, boolean calibrated) {
    (1..image.stackSize).collectMany { n ->
        ImageProcessor plane = image.getStack().getProcessor(n)
        if (plane instanceof ColorProcessor) return plane.pixels.collect { it & 0xffffff }
        if (calibrated) plane.calibrationTable = image.calibration.CTable
        (calibrated ? plane.convertToFloat() : plane).with { p -> (0..<p.pixelCount).collect { p.getf(it) } }
    }
}

Map save(long seed, File folder) {
    ImagePlus image = make(seed)
    boolean signed = image.calibration.calibrated()
    boolean changes = image.changes
    File file = OpenImages.save(image, folder)
    assert image.changes == changes && image.title.startsWith('seed')
    return [file: file.path, bits: signed ? 32 : image.bitDepth, virtual: image.getStack().virtual,
            size: [image.NFrames, image.NSlices, image.NChannels, image.height, image.width], values: values(image, signed),
            pixel: [image.calibration.pixelWidth, image.calibration.pixelHeight]]
}

List<String> compare(long seed, File file, File result) {
    ImagePlus image = make(seed)
    ImagePlus own = IJ.openImage(file.path)  // ImageJ's own way there and back
    ImagePlus returned = IJ.openImage(result.path)  // the way through Python
    List<String> differences = []
    if (values(returned, false) != values(image, image.calibration.calibrated())) differences << 'pixels'
    Map expected = facts(own)
    facts(returned).each { name, value ->
        if (value != expected[name]) differences << "$name: ${expected[name]} became $value".toString()
    }
    return differences
}

if (given.action == 'save')
    return JsonOutput.toJson(given.folders.withIndex().collect { folder, seed -> save(seed, new File(folder)) })
return JsonOutput.toJson(given.files.withIndex().collect { file, seed -> compare(seed, new File(file), new File(given.results[seed])) })
