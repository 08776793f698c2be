// SPDX-License-Identifier: MIT
// Sizes.java: as ../sizes.c. Nothing here can be taken for pointers, so all
// of it is bytes.

import java.io.IOException;

final class Sizes {
    private static final int PAGE_BYTES = 4096;
    private static final int DOUBLINGS = 16;

    private static int randomSize(Bench.Random random) {
        long r = random.next();
        long base = 16L << ((r >>> 32) % DOUBLINGS);
        return (int) (base + (r & 0xffffffffL) % base);
    }

    private static byte mark(int size) {
        return (byte) ((size * 167L >> 4) | 1);
    }

    private static byte[] make(int size) {
        byte[] object = new byte[size];
        byte mark = mark(size);
        for (int at = 15; at < size; at += PAGE_BYTES) {
            object[at] = mark;
        }
        object[size - 1] = mark;
        return object;
    }

    private static long check(byte[] object) {
        byte mark = mark(object.length);
        for (int at = 15; at < object.length; at += PAGE_BYTES) {
            if (object[at] != mark) {
                throw Bench.fail("an object changed");
            }
        }
        if (object[object.length - 1] != mark) {
            throw Bench.fail("an object changed at its end");
        }
        return object.length;
    }

    public static void main(String[] arguments) throws IOException {
        int slotCount = Bench.argument(arguments, 0, 2000);
        int steps = Bench.argument(arguments, 1, 200000);
        byte[][] slots = new byte[slotCount][];
        Bench.Random random = new Bench.Random(13);
        long answer = 0;
        long live = 0;
        for (int i = 0; i < slotCount + steps; i++) {
            int at = i < slotCount ? i : (int) random.below(slotCount);
            if (slots[at] != null) {
                answer = Bench.mix(answer ^ check(slots[at]));
                live -= slots[at].length;
                slots[at] = null; // as free does in C
            }
            int size = randomSize(random);
            random.next(); // in C: whether it may hold pointers
            slots[at] = make(size);
            live += size;
        }
        for (byte[] object : slots) {
            answer = Bench.mix(answer ^ check(object));
        }
        long resident = Bench.residentBytes();
        Bench.say(answer, ", \"resident_over_live\": %.2f, \"live_mib\": %.1f",
            (double) resident / live, live / 0x1p20);
    }
}
