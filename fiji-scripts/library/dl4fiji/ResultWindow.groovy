package dl4fiji

import java.awt.BorderLayout
import java.awt.FlowLayout
import javax.swing.BorderFactory
import javax.swing.ImageIcon
import javax.swing.JButton
import javax.swing.JFrame
import javax.swing.JLabel
import javax.swing.JPanel

/** Shows how a training ended: example pictures, figures beside those of the input, and what may come next. */
class ResultWindow {
    private final Client client
    private final Map job
    private JFrame frame

    ResultWindow(Client client, Map job) {
        this.client = client
        this.job = job
    }

    void show() {
        ImageIcon picture = picture()
        Gui.onEvents {
            frame = new JFrame("${job.result.model}: ${job.state == 'CANCELED' ? 'canceled' : 'trained'}")
            frame.defaultCloseOperation = JFrame.DISPOSE_ON_CLOSE
            JPanel content = new JPanel(new BorderLayout(10, 10))
            content.border = BorderFactory.createEmptyBorder(12, 14, 12, 14)
            if (picture) content.add(new JLabel(picture), BorderLayout.NORTH)
            content.add(new JLabel(table()), BorderLayout.CENTER)
            content.add(buttons(), BorderLayout.SOUTH)
            frame.contentPane.add(content)
            frame.pack()
            frame.setLocationRelativeTo(null)
            frame.visible = true
        }
    }

    /** Return input, prediction and truth of a validation image; the package's cover where they are not to be had. */
    private ImageIcon picture() {
        File folder = new File(job.result.folder as String)
        File cover = new File(folder, 'package/cover.png')
        try {
            java.awt.image.BufferedImage picture = Samples.picture(folder, ((Map) job.result.quality)?.iou != null)
            if (picture != null) return new ImageIcon(picture)
        } catch (Exception error) {
            Gui.log("The example pictures cannot be shown (${error.message}).")
        }
        return cover.file ? new ImageIcon(cover.path) : null
    }

    private String table() {
        String rows = ((Map) job.result.quality ?: [:]).findAll { it.value instanceof Map && it.value.prediction != null }
            .collect { metric, values ->
                def other = values.find { kind, value -> kind != 'prediction' }
                String before = other == null ? '' : JobMonitor.figures(other.value)
                "<tr><td>${JobOutcome.label(metric)}</td><td align='right'>$before</td>" +
                    "<td align='right'><b>${JobMonitor.figures(values.prediction)}</b></td></tr>"
            }.join('')
        // What the prediction is compared with: the input, or the prediction at the threshold 0.5.
        Map first = (Map) ((Map) job.result.quality ?: [:]).values().find { it instanceof Map && it.prediction != null }
        String head = first?.keySet()?.find { it != 'prediction' } ?: 'input'
        String figures = rows ? "<table cellpadding='3'><tr><td></td><td>$head</td><td>prediction</td></tr>$rows</table>" +
            "${over((Map) job.result.quality)}.<br>" : ''
        String missing = exported() ? '' : 'The training was canceled; the best weights so far are kept. To run the model ' +
            "in DeepImageJ, export it first:<br><code>dl4fiji export \"${escape(job.result.model as String)}\"</code><br>"
        return "<html>$figures$missing<br>Model: <b>${escape(job.result.model as String)}</b><br>${escape(job.result.folder as String)}</html>"
    }

    private static String over(Map quality) {
        if (quality.f1) return 'All objects of the validation images, right if they overlap the true ones by half'
        return "Mean of the validation images, ${quality.psnr || quality.iou ? 'each against its truth' : 'at hidden pixels'}"
    }

    private boolean exported() { job.result.package as boolean }

    private JPanel buttons() {
        JPanel panel = new JPanel(new FlowLayout(FlowLayout.RIGHT, 8, 0))
        Map<String, String> commands = ['Predict…': 'DL4Fiji Predict', 'Install in Fiji…': 'Install Model in Fiji',
                                        'Open folder…': 'Open Model Folder']
        if (!exported()) commands.remove('Install in Fiji…')
        panel.add(reportButton())
        commands.each { label, command ->
            JButton button = new JButton(label)
            button.addActionListener { ij.IJ.doCommand(command) }
            panel.add(button)
        }
        return panel
    }

    /** Return the button that shows the report; what the service answers is waited for beside the events. */
    private JButton reportButton() {
        JButton button = new JButton('Open report')
        button.addActionListener {
            Thread.start('DL4Fiji report') {
                try {
                    Models.show(new Models().report(job.result.model as String))
                } catch (Exception error) {
                    Gui.log("The report cannot be shown: ${error.message}")
                }
            }
        }
        return button
    }

    private static String escape(String text) { text.replace('&', '&amp;').replace('<', '&lt;') }
}
