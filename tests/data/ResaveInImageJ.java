import ij.IJ;
import ij.ImagePlus;
import ij.io.FileSaver;
import ij.measure.Calibration;
import java.io.File;
import java.io.PrintStream;
import java.util.Arrays;

/** Opens all TIFFs of a folder in ImageJ, prints what ImageJ made of them, and saves them into another folder. */
public class ResaveInImageJ {
    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        File[] files = new File(args[0]).listFiles();
        Arrays.sort(files);
        for (File file : files) {
            ImagePlus image = IJ.openImage(file.getPath());
            Calibration c = image.getCalibration();
            out.println(String.join("\t", file.getName(),
                image.getWidth() + " " + image.getHeight() + " " + image.getNChannels() + " " + image.getNSlices() + " "
                    + image.getNFrames() + " " + image.getBitDepth(),
                c.pixelWidth + " " + c.pixelHeight + " " + c.pixelDepth + " " + c.frameInterval,
                c.getUnit(), c.getTimeUnit()));
            FileSaver saver = new FileSaver(image);
            String target = new File(args[1], file.getName()).getPath();
            if (image.getStackSize() > 1) saver.saveAsTiffStack(target); else saver.saveAsTiff(target);
        }
    }
}
