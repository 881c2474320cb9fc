import ij.ImagePlus;
import ij.ImageStack;
import ij.gui.*;
import ij.io.FileSaver;
import ij.io.RoiEncoder;
import ij.process.ByteProcessor;
import ij.process.ImageProcessor;
import java.io.DataOutputStream;
import java.io.FileOutputStream;
import java.util.Random;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/** Draws outlines of all kinds, writes them as an ROI zip, and what ImageJ fills for each as the plane of a stack. */
public class FillInImageJ {
    static final int SIZE = 96, OF_EACH = 30;
    static final String[] KINDS = {"polygon", "subpixel polygon", "freehand", "subpixel freehand", "traced", "rectangle",
        "subpixel rectangle", "rounded", "oval", "subpixel oval", "ellipse", "rotated", "holes", "curves"};

    public static void main(String[] args) throws Exception {
        Random random = new Random(7);
        ImageStack stack = new ImageStack(SIZE, SIZE);
        try (ZipOutputStream zip = new ZipOutputStream(new FileOutputStream(args[0]))) {
            DataOutputStream out = new DataOutputStream(zip);
            for (String kind : KINDS) {
                for (int i = 0; i < OF_EACH; i++) {
                    Roi roi = make(kind, random);
                    roi.setName(kind + " " + i);
                    roi.setGroup(1 + i % 3);
                    zip.putNextEntry(new ZipEntry(roi.getName() + ".roi"));
                    new RoiEncoder(out).write(roi);
                    out.flush();
                    // As it comes back: saving rounds some outlines.
                    Roi saved = ij.io.RoiDecoder.openFromByteArray(RoiEncoder.saveAsByteArray(roi));
                    ImageProcessor plane = new ByteProcessor(SIZE, SIZE);
                    plane.setValue(255);
                    plane.fill(saved);
                    stack.addSlice(roi.getName(), plane);
                }
            }
        }
        new FileSaver(new ImagePlus("filled", stack)).saveAsTiffStack(args[1]);
    }

    static Roi make(String kind, Random random) {
        double x = random.nextDouble() * 80 - 8, y = random.nextDouble() * 80 - 8;
        double w = 2 + random.nextDouble() * 40, h = 2 + random.nextDouble() * 40;
        int count = kind.endsWith("freehand") ? 60 : 3 + random.nextInt(7);
        float[] xs = new float[count], ys = new float[count];
        for (int i = 0; i < count; i++) {
            double angle = 2 * Math.PI * i / count, radius = 0.3 + 0.7 * random.nextDouble();
            xs[i] = (float) Math.max(0, x + w / 2 + w / 2 * radius * Math.cos(angle));
            ys[i] = (float) Math.max(0, y + h / 2 + h / 2 * radius * Math.sin(angle));
        }
        switch (kind) {
            case "polygon": return new PolygonRoi(ints(xs), ints(ys), count, Roi.POLYGON);
            case "subpixel polygon": return new PolygonRoi(xs, ys, count, Roi.POLYGON);
            case "freehand": return new PolygonRoi(ints(xs), ints(ys), count, Roi.FREEROI);
            case "subpixel freehand": return new PolygonRoi(xs, ys, count, Roi.FREEROI);
            case "traced": {
                ImageProcessor plane = new ByteProcessor(SIZE, SIZE);
                plane.setValue(255);
                plane.fill(new PolygonRoi(xs, ys, count, Roi.POLYGON));
                for (int at = 0; at < SIZE * SIZE; at++) if (plane.get(at) > 0) {
                    Wand wand = new Wand(plane);
                    wand.autoOutline(at % SIZE, at / SIZE, 255, 255);
                    return new PolygonRoi(wand.xpoints, wand.ypoints, wand.npoints, Roi.TRACED_ROI);
                }
                return new Roi(3, 3, 3, 3);
            }
            case "rectangle": return new Roi((int) x, (int) y, (int) w, (int) h);
            case "subpixel rectangle": return new Roi(x, y, w, h);
            case "rounded": return new Roi((int) x, (int) y, (int) w, (int) h, 2 + random.nextInt(30));
            case "oval": return new OvalRoi((int) x, (int) y, (int) w, (int) h);
            case "subpixel oval": return new OvalRoi(x, y, w, h);
            case "ellipse": return new EllipseRoi(x, y, x + w, y + h, random.nextDouble());
            case "rotated": return new RotatedRectRoi(x, y, x + w, y + h, 1 + random.nextInt(20));
            case "holes": return new ShapeRoi(new PolygonRoi(ints(xs), ints(ys), count, Roi.POLYGON))
                .xor(new ShapeRoi(new Roi((int) (x + w / 4), (int) (y + h / 4), (int) w, (int) h)));
            default: return new ShapeRoi(new java.awt.geom.Ellipse2D.Double(x + 8, y + 8, w, h))
                .or(new ShapeRoi(new java.awt.geom.RoundRectangle2D.Double(x + 8 + w / 2, y + 8 + h / 2, w, h, 9, 7)));
        }
    }

    static int[] ints(float[] values) {
        int[] result = new int[values.length];
        for (int i = 0; i < values.length; i++) result[i] = Math.round(values[i]);
        return result;
    }
}
