/*
 * as_avx2.c - preloaded, makes this CPU look to a program as if it had no
 * AVX-512, VNNI or AMX: for peers that have no setting for that.
 *
 *     cc -O2 -shared -fPIC -o as_avx2.so bench/peers/as_avx2.c
 *     LD_PRELOAD=./as_avx2.so python ...
 *
 * CPUID is made to fault (arch_prctl(2), ARCH_SET_CPUID), and what it would have
 * said is changed. Threads and programs started later are covered as well, the
 * latter by LD_PRELOAD. Needs "cpuid_fault" in /proc/cpuinfo.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static struct sigaction before;

static int set_cpuid(unsigned long on) {
    return (int) syscall(SYS_arch_prctl, ARCH_SET_CPUID, on);
}

/* Bits of leaf 7: of sub-leaf 0 EBX, ECX and EDX, of sub-leaf 1 EAX and EDX. */
enum {
    EBX_0 = 1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30, /* AVX-512 F ... BW */
    ECX_0 = 1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14,                         /* its later parts */
    EDX_0 = 1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25,    /* so too; AMX */
    EAX_1 = 1u << 4 | 1u << 5 | 1u << 21 | 1u << 23,                                    /* AVX-VNNI, BF16, AMX-FP16 */
    EDX_1 = 1u << 4 | 1u << 5 | 1u << 8 | 1u << 10 | 1u << 19                           /* AVX-VNNI-INT8 ... AVX10 */
};

static void on_fault(int signal, siginfo_t *info, void *data) {
    greg_t *r = ((ucontext_t *) data)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *) r[REG_RIP];
    if (info->si_code != SI_KERNEL || code[0] != 0x0F || code[1] != 0xA2) {
        sigaction(signal, &before, NULL);
        return;
    }
    unsigned leaf = (unsigned) r[REG_RAX], sub = (unsigned) r[REG_RCX], a, b, c, d;
    set_cpuid(1);
    __cpuid_count(leaf, sub, a, b, c, d);
    set_cpuid(0);
    if (leaf == 7 && sub == 0) {
        b &= ~(unsigned) EBX_0;
        c &= ~(unsigned) ECX_0;
        d &= ~(unsigned) EDX_0;
    } else if (leaf == 7 && sub == 1) {
        a &= ~(unsigned) EAX_1;
        d &= ~(unsigned) EDX_1;
    }
    r[REG_RAX] = a;
    r[REG_RBX] = b;
    r[REG_RCX] = c;
    r[REG_RDX] = d;
    r[REG_RIP] += 2;
}

__attribute__((constructor)) static void start(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    if (sigaction(SIGSEGV, &action, &before) == 0 && set_cpuid(0) == 0) return;
    fputs("as_avx2: this system does not let CPUID fault\n", stderr);
    _exit(1);
}
