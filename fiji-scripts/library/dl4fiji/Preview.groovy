package dl4fiji

import ij.ImagePlus
import ij.process.ColorProcessor
import java.awt.BorderLayout
import java.awt.Window
import java.awt.image.BufferedImage
import javax.imageio.ImageIO
import javax.swing.*

/** The patches that a training would see first, with their targets, as a picture. */
class Preview {
    /** What the picture shows, in a sentence. */
    final String text
    final List<String> warnings
    private final byte[] content

    /** Ask the service for the patches of a training request; {@link Fault} with what is wrong. */
    Preview(Client client, Map request) {
        Map answer = (Map) client.post('/preview', request)
        text = answer.text as String
        warnings = (List<String>) answer.warnings
        content = client.download("/previews/${Client.segment(answer.id as String)}")
    }

    /** Write the picture as PNG. */
    void save(File file) {
        try {
            file.bytes = content
        } catch (IOException error) {
            throw new Fault("The preview cannot be written to $file (${error.message}): choose another file.")
        }
    }

    /** Return the picture as an image. */
    ImagePlus image() { new ImagePlus('Training patches', new ColorProcessor(picture())) }

    /** Show the picture in a window of a dialog, which goes on working; Escape closes it. */
    void show(Window owner) {
        JDialog window = new JDialog(owner, 'Training patches')
        window.defaultCloseOperation = WindowConstants.DISPOSE_ON_CLOSE
        JLabel label = new JLabel(new ImageIcon(picture()))
        label.accessibleContext.accessibleName = 'Training patches'
        label.accessibleContext.accessibleDescription = text
        JButton keep = new JButton('Open as image')
        keep.addActionListener {
            image().show()
            window.dispose()
        }
        JPanel below = new JPanel(new BorderLayout(8, 0))
        below.border = BorderFactory.createEmptyBorder(6, 10, 8, 10)
        below.add(new JLabel("<html><div style='width:460px'>${text}</div></html>"), BorderLayout.CENTER)
        below.add(keep, BorderLayout.EAST)
        window.contentPane.add(new JScrollPane(label), BorderLayout.CENTER)
        window.contentPane.add(below, BorderLayout.SOUTH)
        window.rootPane.registerKeyboardAction({ window.dispose() }, KeyStroke.getKeyStroke('ESCAPE'),
            JComponent.WHEN_IN_FOCUSED_WINDOW)
        window.pack()
        window.setLocationRelativeTo(owner)
        window.visible = true
        keep.requestFocusInWindow()
    }

    private BufferedImage picture() { ImageIO.read(new ByteArrayInputStream(content)) }
}
