/* What a gatepost that was taken over might try. As root, so that nothing but AppArmor or SELinux stands in
 * the way. Prints "ACT done" or "ACT refused: why" for each act that it is asked for. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int opens(const char *path, int flags)
{
    int file = open(path, flags, 0600);
    if (file >= 0)
        close(file);
    return file;
}

static int reads(const char *path) { return opens(path, O_RDONLY); }
static int writes(const char *path) { return opens(path, O_WRONLY | O_CREAT | O_APPEND); }

static int connects(const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int number, peer = socket(AF_INET, SOCK_STREAM, 0);
    sscanf(port, "%d", &number);
    to.sin_port = htons(number);
    return connect(peer, (struct sockaddr *)&to, sizeof to);
}

static int raw(const char *none) { return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP); }
static int packet(const char *none) { return socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)); }
static int becomes(const char *none) { return setresuid(1, 1, 1); }
static int mounts(const char *where) { return mount("tmpfs", where, "tmpfs", 0, NULL); }
static int traces(const char *none) { return ptrace(PTRACE_SEIZE, 1, NULL, NULL); }

static int writes_code(const char *none)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -1 : 0;
}

static int executes(const char *path) { return execl(path, path, "-c", "exit 0", (char *)NULL); }

static const struct { const char *name; int (*act)(const char *); } acts[] = {
    {"read", reads}, {"write", writes}, {"connect", connects}, {"raw", raw}, {"packet", packet},
    {"setuid", becomes}, {"mount", mounts}, {"ptrace", traces}, {"code", writes_code}, {"execute", executes},
};

/* Each in a process of its own: the acts that succeed would change this one. */
static void attempt(const char *word)
{
    char name[256];
    const char *object = strchr(word, ':');
    int status;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, ":"), word);
    for (size_t n = 0; n < sizeof acts / sizeof *acts; n++) {
        if (strcmp(name, acts[n].name))
            continue;
        pid_t child = fork();
        if (child == 0)
            _exit(acts[n].act(object ? object + 1 : "") < 0 ? errno : 0);
        waitpid(child, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            printf("%s done\n", word);
        else
            printf("%s refused: %s\n", word, WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "killed");
        return;
    }
    printf("%s unknown\n", word);
}

int main(int count, char **words)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int n = 1; n < count; n++)
        attempt(words[n]);
    return 0;
}
