// SPDX-License-Identifier: MIT
// Words.java: as ../words.c, with Java's strings and its HashMap.

import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

final class Words {
    private static final int VOCABULARY = 150000;
    private static final int WORD_BYTES_MAX = 24;

    private static final class Count {
        long value;
    }

    private static final Map<String, Count> table = new HashMap<>();

    private static void count(String text) {
        Count count = table.get(text);
        if (count == null) {
            count = new Count();
            table.put(text, count);
        }
        count.value++;
    }

    private static long hash(String text) {
        long hash = 0xcbf29ce484222325L;
        for (int i = 0; i < text.length(); i++) {
            hash = (hash ^ text.charAt(i)) * 1099511628211L;
        }
        return hash ^ (hash >>> 29);
    }

    private static int read(byte[] word, Bench.Random random) {
        double u = random.unit();
        long rank = (long) (u * u * u * u * VOCABULARY);
        long letters = Bench.mix(rank);
        int length = 2 + (int) ((letters >>> 60) % 4);
        for (long r = rank; r > 0; r /= 6) {
            length += 1 + (int) ((letters >>> 59) % 2);
        }
        length = Math.min(length, WORD_BYTES_MAX - 1);
        for (int i = 0; i < length; i++) {
            if (i == 12) {
                letters = Bench.mix(letters);
            }
            word[i] = (byte) ('a' + (letters & 31) % 26);
            letters >>>= 5;
        }
        if (random.below(8) == 0) {
            word[0] += 'A' - 'a';
        }
        return length;
    }

    public static void main(String[] arguments) {
        long words = Bench.argument(arguments, 0, 6000000);
        Bench.Random random = new Bench.Random(11);
        byte[] buffer = new byte[WORD_BYTES_MAX];
        String before = "";
        for (long i = 0; i < words; i++) {
            int length = read(buffer, random);
            String word = new String(buffer, 0, length, StandardCharsets.ISO_8859_1);
            String lower = word.toLowerCase(Locale.ROOT);
            if (i % 4 == 0) {
                count(before + " " + lower);
            }
            count(lower);
            before = lower;
        }

        long answer = Bench.mix(table.size());
        long total = 0;
        long folded = 0;
        for (Map.Entry<String, Count> entry : table.entrySet()) {
            long count = entry.getValue().value;
            total += count;
            folded += Bench.mix(hash(entry.getKey()) ^ count);
        }
        if (total != words + (words + 3) / 4) {
            throw Bench.fail("words were lost");
        }
        Bench.say(Bench.mix(answer ^ folded), ", \"entries\": %d", table.size());
    }
}
