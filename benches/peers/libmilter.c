/* A filter on libmilter that looks at CONNECT, HELO, MAIL and RCPT and lets everything go on.
 *
 * The floor of a filter written in C on the reference library; it asks no list.
 * Usage: libmilter SOCKET, in libmilter's notation (inet:port@host, unix:/path).
 */
#include <libmilter/mfapi.h>
#include <stdio.h>
#include <sysexits.h>

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	(void)ctx, (void)host, (void)address;
	return SMFIS_CONTINUE;
}

static sfsistat on_word(SMFICTX *ctx, char *word)
{
	(void)ctx, (void)word;
	return SMFIS_CONTINUE;
}

static sfsistat on_words(SMFICTX *ctx, char **words)
{
	(void)ctx, (void)words;
	return SMFIS_CONTINUE;
}

int main(int argc, char **argv)
{
	struct smfiDesc filter = {
		.xxfi_name = "bench",
		.xxfi_version = SMFI_VERSION,
		.xxfi_connect = on_connect,
		.xxfi_helo = on_word,
		.xxfi_envfrom = on_words,
		.xxfi_envrcpt = on_words,
	};

	if (argc != 2) {
		fprintf(stderr, "usage: libmilter SOCKET\n");
		return EX_USAGE;
	}
	/* The library's own backlog of 20 would measure the kernel's SYN timer under a burst. */
	if (smfi_setconn(argv[1]) != MI_SUCCESS || smfi_setbacklog(1024) != MI_SUCCESS ||
	    smfi_register(filter) != MI_SUCCESS) {
		fprintf(stderr, "libmilter: cannot set up the socket %s\n", argv[1]);
		return EX_UNAVAILABLE;
	}
	return smfi_main() == MI_SUCCESS ? EX_OK : EX_UNAVAILABLE;
}
