package dl4fiji

import java.awt.BorderLayout
import java.awt.Color
import java.awt.Component
import java.awt.Dimension
import java.awt.GridBagConstraints
import java.awt.GridBagLayout
import java.awt.Insets
import javax.swing.*
import javax.swing.event.DocumentEvent
import javax.swing.event.DocumentListener

/**
 * A dialog for a command's inputs. While the user fills it in, a line below says what will happen or what is wrong; it
 * closes by OK only when nothing is.
 *
 * Made and shown from a script's thread: {@code new Form(title, intro, fields, values, check).ask()}.
 */
class Form {
    static final int PAUSE_MS = 350
    static final Color GOOD = new Color(0x1b6e3c)
    static final Color BAD = new Color(0xb3261e)

    private final String title
    private final String introduction
    private final List<Field> fields
    private final Map<String, String> start
    /** Takes texts by name, returns {@code [ok: true or false, text: what to say]}; runs beside the dialog. */
    private final Closure<Map> check
    String okLabel = 'OK'
    /** A further button: its label, and what it does with the texts; it may show something for the dialog's window. */
    String moreLabel = ''
    Closure<Closure> moreAction
    /** Choices of fields of kind image, labels, model and job: lists of texts by field name. */
    Map<String, List<String>> proposals = [:]

    private final Map<String, Closure<String>> readers = [:]
    private JDialog dialog
    private JTextArea message
    private JButton ok
    private JPanel more
    private Map<String, String> answer
    private volatile int version = 0

    Form(String title, String introduction, List<Field> fields, Map<String, String> start, Closure<Map> check) {
        this.title = title
        this.introduction = introduction
        this.fields = fields
        this.start = start
        this.check = check
    }

    /** Show the dialog, wait, and return texts by name; {@link Canceled} when it is closed otherwise than by OK. */
    Map<String, String> ask() {
        Gui.onEvents {
            build()
            changed()
            dialog.visible = true
        }
        version++
        if (answer == null) throw new Canceled()
        return answer
    }

    private void build() {
        dialog = new JDialog(ij.IJ.getInstance(), title, true)
        dialog.defaultCloseOperation = WindowConstants.DISPOSE_ON_CLOSE
        JPanel main = rows(fields.findAll { !it.advanced })
        List<Field> advanced = fields.findAll { it.advanced }
        more = rows(advanced)
        more.visible = advanced.any { start.containsKey(it.name) && start[it.name] != it.fallback }
        JPanel content = new JPanel()
        content.layout = new BoxLayout(content, BoxLayout.Y_AXIS)
        content.border = BorderFactory.createEmptyBorder(12, 14, 4, 14)
        [heading(), main, advanced ? moreButton() : null, more].findAll().each {
            ((JComponent) it).alignmentX = Component.LEFT_ALIGNMENT
            content.add((JComponent) it)
        }
        JPanel below = new JPanel(new BorderLayout(0, 6))
        below.border = BorderFactory.createEmptyBorder(4, 14, 12, 14)
        below.add(messageArea(), BorderLayout.CENTER)
        below.add(buttons(), BorderLayout.SOUTH)
        JPanel top = new JPanel(new BorderLayout())
        top.add(content, BorderLayout.NORTH)
        JScrollPane scroll = new JScrollPane(top)
        scroll.border = null
        scroll.verticalScrollBar.unitIncrement = 16
        dialog.contentPane.add(scroll, BorderLayout.CENTER)
        dialog.contentPane.add(below, BorderLayout.SOUTH)
        dialog.rootPane.defaultButton = ok
        dialog.rootPane.registerKeyboardAction({ dialog.dispose() }, KeyStroke.getKeyStroke('ESCAPE'),
            JComponent.WHEN_IN_FOCUSED_WINDOW)
        fit()
        dialog.setLocationRelativeTo(null)
    }

    private JComponent heading() {
        JLabel label = new JLabel("<html><div style='width:400px'>${escape(introduction)}</div></html>")
        label.border = BorderFactory.createEmptyBorder(0, 0, 10, 0)
        return label
    }

    private JPanel rows(List<Field> some) {
        JPanel panel = new JPanel(new GridBagLayout())
        some.eachWithIndex { field, row ->
            JLabel label = new JLabel(field.kind == 'boolean' ? '' : field.label)
            JComponent component = component(field)
            String tip = "<html><div style='width:260px'>${escape(field.help)}</div></html>"
            [label, component].each { it.toolTipText = tip }
            label.labelFor = component
            panel.add(label, cell(0, row, GridBagConstraints.EAST, 0, GridBagConstraints.NONE))
            panel.add(withUnit(component, field.unit), cell(1, row, GridBagConstraints.WEST, 1,
                isShort(field) ? GridBagConstraints.NONE : GridBagConstraints.HORIZONTAL))
        }
        return panel
    }

    /** Numbers, sizes and choices need no wide fields. */
    private static boolean isShort(Field field) {
        field.kind in ['integer', 'number', 'choice'] || (field.kind == 'text' && field.unit)
    }

    private static JComponent withUnit(JComponent component, String unit) {
        if (!unit) return component
        JPanel panel = new JPanel(new BorderLayout(6, 0))
        panel.add(component, BorderLayout.CENTER)
        panel.add(new JLabel(unit), BorderLayout.EAST)
        return panel
    }

    private static GridBagConstraints cell(int x, int y, int anchor, double weight, int fill) {
        new GridBagConstraints(x, y, 1, 1, weight, 0, anchor, fill, new Insets(2, 3, 2, 3), 0, 0)
    }

    private JComponent component(Field field) {
        String value = start[field.name] ?: field.fallback
        switch (field.kind) {
            case 'boolean':
                JCheckBox box = new JCheckBox(field.label, value == 'true')
                box.addActionListener { changed() }
                readers[field.name] = { box.selected as String }
                return box
            case 'choice':
                return combo(field, field.choices, value, false)
            case ['model', 'job']:
                return combo(field, proposals[field.name] ?: [], value, false)
            case ['image', 'labels', 'folder', 'file', 'path']:
                return withBrowse(field, combo(field, proposals[field.name] ?: [], value, true))
            default:
                JTextField text = new JTextField(value, isShort(field) ? 8 : 24)
                watch(text)
                readers[field.name] = { text.text }
                return text
        }
    }

    private JComboBox combo(Field field, List<String> choices, String value, boolean editable) {
        JComboBox box = new JComboBox(choices as Object[])
        box.editable = editable
        box.prototypeDisplayValue = 'a title of some twenty-six'
        if (editable || value in choices) box.selectedItem = value
        box.addActionListener { changed() }
        if (editable) watch((JTextField) box.editor.editorComponent)
        readers[field.name] = { (editable ? box.editor.item : box.selectedItem)?.toString() ?: '' }
        return box
    }

    private JComponent withBrowse(Field field, JComboBox box) {
        JButton browse = new JButton('Browse…')
        browse.margin = new Insets(1, 6, 1, 6)
        browse.addActionListener {
            File now = new File(box.editor.item?.toString() ?: '')
            JFileChooser chooser = new JFileChooser(now.exists() ? now : new File(ij.io.OpenDialog.lastDirectory ?: '.'))
            chooser.dialogTitle = field.label
            chooser.fileSelectionMode = field.kind == 'folder' ? JFileChooser.DIRECTORIES_ONLY :
                field.kind == 'file' ? JFileChooser.FILES_ONLY : JFileChooser.FILES_AND_DIRECTORIES
            if (chooser.showOpenDialog(dialog) == JFileChooser.APPROVE_OPTION) {
                box.selectedItem = chooser.selectedFile.path
                ij.io.OpenDialog.lastDirectory = chooser.selectedFile.parent
            }
        }
        JPanel panel = new JPanel(new BorderLayout(4, 0))
        panel.add(box, BorderLayout.CENTER)
        panel.add(browse, BorderLayout.EAST)
        return panel
    }

    private void watch(JTextField text) {
        text.document.addDocumentListener(new DocumentListener() {
            void insertUpdate(DocumentEvent event) { changed() }

            void removeUpdate(DocumentEvent event) { changed() }

            void changedUpdate(DocumentEvent event) { changed() }
        })
    }

    private JComponent moreButton() {
        JButton button = new JButton()
        Closure name = { button.text = more.visible ? '▾ Fewer options' : '▸ More options' }
        name()
        button.borderPainted = false
        button.contentAreaFilled = false
        button.margin = new Insets(4, 0, 4, 0)
        button.requestFocusEnabled = false
        button.addActionListener { more.visible = !more.visible; name(); fit() }
        return button
    }

    private JComponent messageArea() {
        message = new JTextArea(3, 44)
        message.editable = false
        message.lineWrap = true
        message.wrapStyleWord = true
        message.opaque = false
        message.focusable = false
        message.font = UIManager.getFont('Label.font')
        message.border = BorderFactory.createEmptyBorder(6, 3, 2, 3)
        return message
    }

    private JComponent buttons() {
        ok = new JButton(okLabel)
        ok.addActionListener { accept() }
        JButton cancel = new JButton('Cancel')
        cancel.addActionListener { dialog.dispose() }
        JPanel panel = new JPanel()
        panel.layout = new BoxLayout(panel, BoxLayout.X_AXIS)
        if (moreLabel) panel.add(actionButton())
        panel.add(Box.createHorizontalGlue())
        (ij.IJ.isMacOSX() || ij.IJ.isLinux() ? [cancel, ok] : [ok, cancel]).each {
            panel.add(Box.createHorizontalStrut(8))
            panel.add(it)
        }
        return panel
    }

    /** Runs {@code moreAction} beside the dialog and then, on the thread of events, what it returns. */
    private JButton actionButton() {
        JButton button = new JButton(moreLabel)
        button.mnemonic = (int) moreLabel.charAt(0)
        button.addActionListener {
            int mine = ++version
            Map<String, String> values = read()
            button.enabled = false
            say([ok: true, text: 'One moment…'])
            Thread.start('DL4Fiji preview') {
                Closure show = null
                Map result = judge(values) { Map texts -> show = moreAction(texts); [ok: true, text: ''] }
                SwingUtilities.invokeLater {
                    button.enabled = true
                    if (mine != version) return
                    say(result)
                    if (show) show(dialog)
                    if (result.ok) changed()
                }
            }
        }
        return button
    }

    private void fit() {
        dialog.pack()
        Dimension screen = java.awt.Toolkit.defaultToolkit.screenSize
        dialog.setSize((int) Math.min(dialog.width + 16, screen.width - 40), (int) Math.min(dialog.height, screen.height - 80))
    }

    private Map<String, String> read() { fields.collectEntries { [it.name, readers[it.name]().trim()] } }

    /** Something was changed: check again when the user pauses. */
    private void changed() {
        int mine = ++version
        Map<String, String> values = read()
        if (ok == null) return
        ok.enabled = true
        Thread.start('DL4Fiji check') {
            sleep(PAUSE_MS)
            if (mine != version) return
            Map result = judge(values)
            SwingUtilities.invokeLater { if (mine == version) say(result) }
        }
    }

    private void accept() {
        int mine = ++version
        Map<String, String> values = read()
        ok.enabled = false
        say([ok: true, text: 'Checking…'])
        Thread.start('DL4Fiji check') {
            Map result = judge(values)
            SwingUtilities.invokeLater {
                if (mine != version) return
                ok.enabled = true
                say(result)
                if (result.ok) {
                    answer = values
                    dialog.dispose()
                }
            }
        }
    }

    private Map judge(Map<String, String> values, Closure<Map> look = check) {
        try {
            return look(values)
        } catch (Fault fault) {
            return [ok: false, text: (fault.problems ?: [fault.message]).join('\n')]
        } catch (Exception error) {
            return [ok: false, text: "This cannot be checked (${error.class.simpleName}: ${error.message})." as String]
        }
    }

    private void say(Map result) {
        message.foreground = result.ok ? GOOD : BAD
        message.text = result.text ?: ''
        message.rows = Math.max(3, Math.min(8, (result.text ?: '').readLines().sum(0) { 1 + it.length().intdiv(62) }))
        if (message.preferredSize.height > message.height) fit()
    }

    private static String escape(String text) {
        text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')
    }
}
