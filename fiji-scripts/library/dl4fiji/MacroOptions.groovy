package dl4fiji

import java.nio.charset.StandardCharsets

/**
 * The option string of a macro call, {@code key=value key=[value with spaces] flag}.
 *
 * ImageJ's own look-up ({@code ij.Macro.getValue}) finds "source=" inside "validation_source=" and inside other
 * values, and nobody tells of keys that no dialog has. So the string is read here as a whole, from left to right,
 * by the same rules: a value ends at the next space, or is enclosed in brackets, which may be nested in pairs, or in
 * single quotes.
 *
 * What those rules cannot carry, an unpaired bracket for instance, is written {@code encoded:} followed by the text with
 * its special characters as %XX of their UTF-8 bytes: {@code source=encoded:/data/a%5Db}. The recorder writes values in
 * this way where needed, also those with letters beyond ASCII, since ImageJ reads macro files as Latin-1. All other values, also those with % signs, are taken literally.
 */
class MacroOptions {
    static final String PREFIX = 'encoded:'

    /** Return the options in {@code text}, decoded, in their order; a bare word is the truth value "true". */
    static Map<String, String> parse(String text) {
        Map<String, String> options = [:]
        int at = 0
        while (true) {
            while (at < text.length() && Character.isWhitespace(text.charAt(at))) at++
            if (at >= text.length()) return options
            int keyEnd = at
            while (keyEnd < text.length() && text.charAt(keyEnd) != ('=' as char)
                && !Character.isWhitespace(text.charAt(keyEnd))) keyEnd++
            String key = text.substring(at, keyEnd)
            String value = 'true'
            at = keyEnd
            if (at < text.length() && text.charAt(at) == ('=' as char)) {
                int end = valueEnd(text, at + 1, key)
                value = decode(bare(text.substring(at + 1, end)), key)
                at = end
            }
            if (options.containsKey(key))
                throw new Fault("The option '$key' is given twice: leave one of them out.")
            options[key] = value
        }
    }

    /** Return {@code value} as it can stand behind "key=" in an option string of any macro. */
    static String quote(String value) {
        boolean plain = !(value =~ /[^ -~]|[\[\]"\\]/).find() && !(value =~ /^['&\s]|\s$/).find() &&
            !value.startsWith(PREFIX)
        if (!plain) return encode(value)
        return value.isEmpty() || value.contains(' ') ? "[$value]" : value
    }

    /** Return {@code value} in the form that carries every text. */
    static String encode(String value) {
        StringBuilder out = new StringBuilder(PREFIX)
        value.codePoints().forEach { int point ->
            boolean special = point <= 32 || point >= 127 || '%[]"\\\'&'.indexOf(point) >= 0
            String letter = new String(Character.toChars(point))
            if (special) letter.getBytes(StandardCharsets.UTF_8).each { out.append(String.format('%%%02X', it & 0xff)) }
            else out.append(letter)
        }
        return out.toString()
    }

    private static int valueEnd(String text, int start, String key) {
        char first = start < text.length() ? text.charAt(start) : ' ' as char
        int end = -1
        if (first == ('[' as char)) {
            int depth = 0
            for (int i = start; i < text.length() && end < 0; i++) {
                if (text.charAt(i) == ('[' as char)) depth++
                else if (text.charAt(i) == (']' as char) && --depth == 0) end = i + 1
            }
            if (end < 0 || (end < text.length() && !Character.isWhitespace(text.charAt(end))))
                throw new Fault("The brackets of the option '$key' do not pair: write its value as " +
                    "$key=${PREFIX}… with %5B for [ and %5D for ] (and %25 for %).")
            return end
        }
        if (first == ('\'' as char)) {
            end = text.indexOf("'", start + 1)
            if (end > 0 && (end + 1 == text.length() || Character.isWhitespace(text.charAt(end + 1)))) return end + 1
        }
        end = text.indexOf(' ', start)
        return end < 0 ? text.length() : end
    }

    private static String bare(String value) {
        boolean enclosed = value.length() > 1 && ((value.startsWith('[') && value.endsWith(']')) ||
            (value.startsWith("'") && value.endsWith("'")))
        return enclosed ? value.substring(1, value.length() - 1) : value
    }

    private static String decode(String value, String key) {
        if (!value.startsWith(PREFIX)) return value
        ByteArrayOutputStream bytes = new ByteArrayOutputStream()
        String text = value.substring(PREFIX.length())
        for (int i = 0; i < text.length(); ) {
            if (text.charAt(i) == ('%' as char)) {
                String digits = i + 3 <= text.length() ? text.substring(i + 1, i + 3) : ''
                if (!(digits ==~ /[0-9A-Fa-f]{2}/))
                    throw new Fault("The option '$key' is not well encoded at '${text.substring(i)}': " +
                        'after each % there must be two hexadecimal digits, and a % itself is %25.')
                bytes.write(Integer.parseInt(digits, 16))
                i += 3
            } else {
                int point = text.codePointAt(i)
                bytes.write(new String(Character.toChars(point)).getBytes(StandardCharsets.UTF_8))
                i += Character.charCount(point)
            }
        }
        return new String(bytes.toByteArray(), StandardCharsets.UTF_8)
    }
}
