// SPDX-License-Identifier: MIT
// Fragment.java: as ../fragment.c.

import java.io.IOException;
import java.util.Arrays;

final class Fragment {
    private static final int ITEM_BYTES = 24; // as in C
    private static final int HOLDER_BYTES = 16;

    private static final class Item {
        final Item unused = null; // as in C
        final int bytes;
        final long value;

        Item(int bytes, long value) {
            this.bytes = bytes;
            this.value = value;
        }
    }

    private static Item[] items;
    private static byte[][] bodies;
    private static long live;

    private static void fill(Bench.Random random, int doublings) {
        for (int i = 0; i < items.length; i++) {
            if (items[i] != null) {
                continue;
            }
            long r = random.next();
            long base = 32L << ((r >>> 32) % doublings);
            int bytes = (int) (base + (r & 0xffffffffL) % base);
            items[i] = new Item(bytes, r);
            bodies[i] = new byte[bytes];
            Arrays.fill(bodies[i], (byte) r);
            live += ITEM_BYTES + bytes;
        }
    }

    private static void thin(Bench.Random random, int ofFour) {
        for (int i = 0; i < items.length; i++) {
            if (items[i] != null && random.below(4) < ofFour) {
                live -= ITEM_BYTES + items[i].bytes;
                items[i] = null;
                bodies[i] = null;
            }
        }
    }

    public static void main(String[] arguments) throws IOException {
        long liveMib = Bench.argument(arguments, 0, 256);
        int count = (int) ((liveMib << 20) / 500);
        items = new Item[count];
        bodies = new byte[count][];
        Bench.Random random = new Bench.Random(19);
        fill(random, 6);
        thin(random, 2);
        fill(random, 4);
        thin(random, 3);

        long begin = System.nanoTime();
        System.gc();
        double compactMs = (System.nanoTime() - begin) / 1e6;
        long resident = Bench.residentBytes();
        live += (long) count * HOLDER_BYTES;
        long answer = 0;
        for (int i = 0; i < count; i++) {
            if (items[i] == null) {
                continue;
            }
            byte expected = (byte) items[i].value;
            if (bodies[i][0] != expected
                || bodies[i][items[i].bytes - 1] != expected) {
                throw Bench.fail("an object changed");
            }
            answer = Bench.mix(answer ^ items[i].value);
        }
        Bench.say(answer, ", \"resident_over_live\": %.2f, \"live_mib\": %.1f"
            + ", \"compact_ms\": %.1f", (double) resident / live,
            live / 0x1p20, compactMs);
    }
}
