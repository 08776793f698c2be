// SPDX-License-Identifier: MIT
// BinaryTrees.java: as ../binary_trees.c.

final class BinaryTrees {
    private static final int DEPTH_MIN = 4;

    private static final class Node {
        final Node left;
        final Node right;

        Node(Node left, Node right) {
            this.left = left;
            this.right = right;
        }

        static Node build(int depth) {
            return depth == 0 ? new Node(null, null)
                : new Node(build(depth - 1), build(depth - 1));
        }

        long count() {
            return left == null ? 1 : 1 + left.count() + right.count();
        }
    }

    private static long[] share(int depthMax, int index, int of) {
        long[] counts = new long[depthMax + 1];
        for (int depth = DEPTH_MIN; depth <= depthMax; depth += 2) {
            long trees = 1L << (depthMax - depth + DEPTH_MIN);
            for (long i = index; i < trees; i += of) {
                counts[depth] += Node.build(depth).count();
            }
        }
        return counts;
    }

    public static void main(String[] arguments) throws InterruptedException {
        int depthMax = Bench.argument(arguments, 0, 19);
        int threadCount = Bench.argument(arguments, 1, 1);
        long stretch = Node.build(depthMax + 1).count();
        Node longLived = Node.build(depthMax);

        long[][] counts = new long[threadCount][];
        Thread[] threads = new Thread[threadCount];
        for (int i = 0; i < threadCount; i++) {
            int index = i;
            threads[i] = new Thread(
                () -> counts[index] = share(depthMax, index, threadCount));
            threads[i].start();
        }
        for (Thread thread : threads) {
            thread.join();
        }

        long answer = Bench.mix(stretch);
        for (int depth = DEPTH_MIN; depth <= depthMax; depth += 2) {
            long trees = 1L << (depthMax - depth + DEPTH_MIN);
            long count = 0;
            for (long[] of : counts) {
                count += of[depth];
            }
            if (count != trees * ((2L << depth) - 1)) {
                throw Bench.fail("a tree lost nodes");
            }
            answer = Bench.mix(answer ^ count);
        }
        long kept = longLived.count();
        if (kept != (2L << depthMax) - 1) {
            throw Bench.fail("the long-lived tree lost nodes");
        }
        Bench.say(Bench.mix(answer ^ kept), "");
    }
}
