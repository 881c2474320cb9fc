package dl4fiji

import ij.gui.Plot
import ij.gui.PlotWindow
import java.awt.Color
import java.awt.Font

/** A window with the training and validation loss that grows while a job runs. */
class LossPlot {
    private static final Color TRAINING = new Color(0x1f77b4)
    private static final Color VALIDATION = new Color(0xd95f02)

    private final String title
    private final List<Map> rows = []
    private PlotWindow window
    private boolean closed = false

    LossPlot(String title) { this.title = title }

    static String title(Map job) { "Loss of ${job.kind == 'train' ? "“${job.request.name}”" : job.title}" }

    /** Add finished epochs: rows of the history. */
    void add(List<Map> epochs) {
        if (!epochs) return
        epochs.each { row -> rows.removeAll { it.epoch == row.epoch }; rows << row }
        if (!Gui.available() || closed) return
        Plot plot = draw()
        if (window == null) {
            window = earlier()
            if (window == null) window = plot.show() else window.drawPlot(plot)
        } else if (window.visible) {
            window.drawPlot(plot)
        } else {
            closed = true  // by the user, who does not want to see it any more
        }
    }

    /** Return the window of an earlier look at the same job. */
    private PlotWindow earlier() {
        java.awt.Window found = ij.WindowManager.getWindow(title)
        return found instanceof PlotWindow && found.visible ? found : null
    }

    /** Return the plot of all epochs so far. */
    Plot draw() {
        Plot plot = new Plot(title, 'Epoch', 'Loss')
        plot.setFrameSize(560, 300)
        plot.setFont(Font.PLAIN, 13f)
        double[] epochs = column('epoch')
        double[] training = column('loss')
        double[] validation = column('val_loss')
        String shape = epochs.length < 2 ? 'circle' : 'line'
        plot.setLineWidth(2)
        plot.setColor(TRAINING, TRAINING)
        plot.add(shape, epochs, training)
        plot.setColor(VALIDATION, VALIDATION)
        plot.add(shape, epochs, validation)
        plot.setLimits(0, Math.max(2.0d, epochs.length ? epochs[-1] : 1.0d), lowest(training, validation),
            highest(training, validation))
        plot.setColor(Color.BLACK)
        plot.setLineWidth(1)
        plot.setLegend('training\tvalidation', Plot.TOP_RIGHT)
        return plot
    }

    private double[] column(String name) { rows.collect { it[name] == null ? Double.NaN : it[name] as double } as double[] }

    /** A loss below zero is possible with the Laplace likelihood; otherwise the axis begins at zero. */
    private static double lowest(double[]... losses) {
        double least = finite(losses).min() ?: 0d
        return least < 0 ? least * 1.05d : 0d
    }

    /** The first epochs of a long training must not press all others to the floor. */
    private static double highest(double[]... losses) {
        List<Double> all = finite(losses).sort()
        if (!all) return 1d
        double most = all.size() < 20 ? all.last() : Math.min(all.last(), 2d * all[(int) (all.size() * 0.9d)])
        return most > 0 ? most * 1.08d : Math.max(most * 0.92d, most + 1e-6d)
    }

    private static List<Double> finite(double[]... losses) {
        losses.collectMany { it as List<Double> }.findAll { !it.isNaN() && !it.isInfinite() }
    }
}
