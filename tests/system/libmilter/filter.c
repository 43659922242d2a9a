/* The filter of the differential test, on the real libmilter.
 *
 * Does what the words in its arguments ask for; twin.rs does the same on gatepost's library, and compare.py
 * holds the packets of the two against each other.  Every callback is a function of its arguments alone.
 * Usage: filter SOCKET ACTIONS PROTOCOL, the socket in libmilter's notation, the bits it wants in hex.
 */
#include <arpa/inet.h>
#include <libmilter/mfapi.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <sysexits.h>

#define EDITS 32
#define WISH 32

/* What one connection remembers.  The three parts of the session outlive messages. */
struct memory {
	uint64_t client, helo, unknown;
	uint64_t message, macros;
	char data[WISH], eoh[WISH], end[WISH];
	char *edits[EDITS];
	int edit_count;
	unsigned long actions, protocol; /* as agreed */
};

static unsigned long wanted_actions, wanted_protocol;

/* FNV-1a: shows whether two callbacks saw the same octets. */
#define SEED 0xcbf29ce484222325u

static uint64_t mix_octets(uint64_t hash, const void *data, size_t size)
{
	const unsigned char *octets = data;
	for (size_t n = 0; n < size; n++)
		hash = (hash ^ octets[n]) * 0x100000001b3u;
	return hash;
}

/* A text and its end, so that neighbours cannot run together. */
static uint64_t mix(uint64_t hash, const char *text)
{
	return mix_octets(hash, text, strlen(text) + 1);
}


static void forget_message(struct memory *memory)
{
	memory->message = memory->macros = SEED;
	memory->data[0] = memory->eoh[0] = memory->end[0] = 0;
	for (int n = 0; n < memory->edit_count; n++)
		free(memory->edits[n]);
	memory->edit_count = 0;
}

static void forget_session(struct memory *memory)
{
	forget_message(memory);
	memory->client = memory->helo = memory->unknown = SEED;
}

static struct memory *memory_of(SMFICTX *ctx)
{
	struct memory *memory = smfi_getpriv(ctx);
	if (!memory) {
		memory = calloc(1, sizeof *memory);
		if (!memory)
			abort();
		forget_session(memory);
		smfi_setpriv(ctx, memory);
	}
	return memory;
}

/* Macros have a hash of their own: libmilter shows those of earlier messages. */
static void mix_macro(SMFICTX *ctx, uint64_t *hash, char *name)
{
	const char *value = smfi_getsymval(ctx, name);
	*hash = mix(*hash, value ? value : "-");
}

static int wants(unsigned long declined)
{
	return !(wanted_protocol & declined);
}

/* The word up to the first of these characters. */
static void word(char *wish, const char *text, const char *ends)
{
	size_t size = strcspn(text, ends);
	if (size >= WISH)
		size = 0;
	memcpy(wish, text, size);
	wish[size] = 0;
}

/* The local part of an address, or the first label of a name. */
static void address_wish(char *wish, const char *text)
{
	word(wish, text + (*text == '<'), ".@>");
}

static int is_one_of(const char *wish, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(wish, *words))
			return 1;
	return 0;
}

#define SHOWN 128

/* What was seen; between messages there is nothing to be seen of one. */
static void show(char *text, const char *what, const struct memory *memory, int outside)
{
	snprintf(text, SHOWN, "%s %016jx %016jx %016jx %016jx %016jx", what, (uintmax_t)memory->client,
		 (uintmax_t)memory->helo, (uintmax_t)memory->unknown, (uintmax_t)(outside ? 0 : memory->message),
		 (uintmax_t)(outside ? 0 : memory->macros));
}

/* A verdict in words of its own, which the library must have taken. */
static sfsistat reply(int ok, sfsistat verdict)
{
	if (ok != MI_SUCCESS)
		abort();
	return verdict;
}

/* The verdict that a word asks for; `silence` is the bit that no reply to this event was wanted. */
static sfsistat verdict(SMFICTX *ctx, const char *wish, unsigned long silence)
{
	static const char *const none[] = {"", "continue", NULL};
	struct memory *memory = memory_of(ctx);

	if (wanted_protocol & silence)
		return memory->protocol & silence ? SMFIS_NOREPLY : SMFIS_CONTINUE;
	if (is_one_of(wish, none))
		return SMFIS_CONTINUE;
	if (!strcmp(wish, "accept"))
		return SMFIS_ACCEPT;
	if (!strcmp(wish, "discard"))
		return SMFIS_DISCARD;
	if (!strcmp(wish, "reject"))
		return SMFIS_REJECT;
	if (!strcmp(wish, "tempfail"))
		return SMFIS_TEMPFAIL;
	if (!strcmp(wish, "refuse"))
		return reply(smfi_setreply(ctx, "550", "5.7.1", "no, 100%% no"), SMFIS_REJECT);
	if (!strcmp(wish, "defer"))
		return reply(smfi_setreply(ctx, "451", "4.7.1", "later"), SMFIS_TEMPFAIL);
	if (!strcmp(wish, "close"))
		return reply(smfi_setreply(ctx, "421", "4.3.2", "closing"), SMFIS_TEMPFAIL);
	if (!strcmp(wish, "lines"))
		return reply(smfi_setmlreply(ctx, "554", "5.7.1", "one", "two %%d", "see https://x.example/%%20", NULL),
			     SMFIS_REJECT);
	if (!strcmp(wish, "long")) {
		char text[601];
		memset(text, 'x', 600);
		text[600] = 0;
		return reply(smfi_setreply(ctx, "550", "5.7.1", text), SMFIS_REJECT);
	}
	if (!strcmp(wish, "echo")) {
		char text[SHOWN];
		int outside = silence & (SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_UNKN);
		show(text, "seen", memory, outside);
		return reply(smfi_setreply(ctx, "550", "5.7.9", text), SMFIS_REJECT);
	}
	return SMFIS_CONTINUE;
}

/* What MAIL parameters X-NAME=value and header fields X-NAME: value ask for later in the message. */
static void note(struct memory *memory, const char *name, const char *value)
{
	if (!strcasecmp(name, "X-Data"))
		word(memory->data, value, "");
	else if (!strcasecmp(name, "X-Eoh"))
		word(memory->eoh, value, "");
	else if (!strcasecmp(name, "X-End"))
		word(memory->end, value, "");
	else if (!strcasecmp(name, "X-Edit") && memory->edit_count < EDITS)
		memory->edits[memory->edit_count++] = strdup(value);
}

static sfsistat ends_message(SMFICTX *ctx, sfsistat said)
{
	if (said != SMFIS_CONTINUE && said != SMFIS_NOREPLY && said != SMFIS_SKIP)
		forget_message(memory_of(ctx));
	return said;
}

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1, unsigned long f2, unsigned long f3,
			     unsigned long *pf0, unsigned long *pf1, unsigned long *pf2, unsigned long *pf3)
{
	struct memory *memory = memory_of(ctx);
	(void)f2, (void)f3;
	*pf0 = (wanted_actions | SMFIF_SETSYMLIST) & f0;
	*pf1 = wanted_protocol & f1;
	*pf2 = *pf3 = 0;
	memory->actions = *pf0;
	memory->protocol = *pf1;
	if (f0 & SMFIF_SETSYMLIST) {
		static const struct { int stage; char *names; } lists[] = {
			{SMFIM_CONNECT, "j {daemon_name}"}, {SMFIM_HELO, "i"}, {SMFIM_ENVFROM, "i {auth_authen}"},
			{SMFIM_ENVRCPT, "{rcpt_addr}"}, {SMFIM_DATA, "i"}, {SMFIM_EOM, "i {msg_id}"}, {SMFIM_EOH, "i {msg_id}"},
		};
		for (size_t n = 0; n < sizeof lists / sizeof *lists; n++)
			if (smfi_setsymlist(ctx, lists[n].stage, lists[n].names) != MI_SUCCESS)
				abort();
	}
	return SMFIS_CONTINUE;
}

static uint64_t mix_address(uint64_t hash, const _SOCK_ADDR *address)
{
	if (!address)
		return mix(hash, "unknown");
	if (address->sa_family == AF_INET)
		return mix_octets(hash, &((const struct sockaddr_in *)address)->sin_addr, 4);
	if (address->sa_family == AF_INET6) {
		const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;
		/* gatepost shows a mapped address as the IPv4 address that it is. */
		if (IN6_IS_ADDR_V4MAPPED(six))
			return mix_octets(hash, six->s6_addr + 12, 4);
		return mix_octets(hash, six, 16);
	}
	return mix(hash, "local");
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	struct memory *memory = memory_of(ctx);
	char wish[WISH];

	if (!wants(SMFIP_NOCONNECT))
		return SMFIS_CONTINUE;
	forget_session(memory);
	memory->client = mix_address(mix(SEED, host), address);
	mix_macro(ctx, &memory->client, "j");
	mix_macro(ctx, &memory->client, "{daemon_name}");
	address_wish(wish, host);
	return verdict(ctx, wish, SMFIP_NR_CONN);
}

static sfsistat on_helo(SMFICTX *ctx, char *name)
{
	struct memory *memory = memory_of(ctx);
	char wish[WISH];

	if (!wants(SMFIP_NOHELO))
		return SMFIS_CONTINUE;
	memory->helo = mix(SEED, name);
	address_wish(wish, name);
	return verdict(ctx, wish, SMFIP_NR_HELO);
}

static sfsistat on_mail(SMFICTX *ctx, char **words)
{
	struct memory *memory = memory_of(ctx);
	char wish[WISH];

	forget_message(memory);
	if (!wants(SMFIP_NOMAIL))
		return SMFIS_CONTINUE;
	address_wish(wish, words[0]);
	for (char **text = words; *text; text++) {
		char *value = strchr(*text, '=');
		memory->message = mix(memory->message, *text);
		if (text > words && value) {
			*value = 0;
			note(memory, *text, value + 1);
			*value = '=';
		}
	}
	mix_macro(ctx, &memory->macros, "i");
	mix_macro(ctx, &memory->macros, "{auth_authen}");
	return ends_message(ctx, verdict(ctx, wish, SMFIP_NR_MAIL));
}

static sfsistat on_rcpt(SMFICTX *ctx, char **words)
{
	struct memory *memory = memory_of(ctx);
	char wish[WISH];
	sfsistat said;

	if (!wants(SMFIP_NORCPT))
		return SMFIS_CONTINUE;
	address_wish(wish, words[0]);
	for (; *words; words++)
		memory->message = mix(memory->message, *words);
	mix_macro(ctx, &memory->macros, "{rcpt_addr}");
	mix_macro(ctx, &memory->macros, "i");
	said = verdict(ctx, wish, SMFIP_NR_RCPT);
	/* A refusal is about this recipient only. */
	return said == SMFIS_ACCEPT || said == SMFIS_DISCARD ? ends_message(ctx, said) : said;
}

static sfsistat on_data(SMFICTX *ctx)
{
	struct memory *memory = memory_of(ctx);

	if (!wants(SMFIP_NODATA))
		return SMFIS_CONTINUE;
	memory->message = mix(memory->message, "data");
	return ends_message(ctx, verdict(ctx, memory->data, SMFIP_NR_DATA));
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
	struct memory *memory = memory_of(ctx);
	const char *bare = value + strspn(value, " ");

	if (!wants(SMFIP_NOHDRS))
		return SMFIS_CONTINUE;
	memory->message = mix(memory->message, name);
	/* gatepost's library gives back the blank that an MTA without this option cuts off. */
	if ((wanted_protocol & SMFIP_HDR_LEADSPC) && !(memory->protocol & SMFIP_HDR_LEADSPC))
		memory->message = mix_octets(memory->message, " ", 1);
	memory->message = mix(memory->message, value);
	note(memory, name, bare);
	return ends_message(ctx, verdict(ctx, strcasecmp(name, "X-Wish") ? "" : bare, SMFIP_NR_HDR));
}

static sfsistat on_eoh(SMFICTX *ctx)
{
	struct memory *memory = memory_of(ctx);

	if (!wants(SMFIP_NOEOH))
		return SMFIS_CONTINUE;
	memory->message = mix(memory->message, "eoh");
	return ends_message(ctx, verdict(ctx, memory->eoh, SMFIP_NR_EOH));
}

static sfsistat on_body(SMFICTX *ctx, unsigned char *chunk, size_t size)
{
	struct memory *memory = memory_of(ctx);
	char wish[WISH] = "";

	if (!wants(SMFIP_NOBODY))
		return SMFIS_CONTINUE;
	memory->message = mix_octets(memory->message, chunk, size);
	if (size > 1 && size < WISH && chunk[0] == '!')
		snprintf(wish, sizeof wish, "%.*s", (int)size - 1, (char *)chunk + 1);
	wish[strcspn(wish, "\r\n")] = 0;
	if (!strcmp(wish, "skip") && (memory->protocol & SMFIP_SKIP))
		return SMFIS_SKIP;
	return ends_message(ctx, verdict(ctx, wish, SMFIP_NR_BODY));
}

static sfsistat on_unknown(SMFICTX *ctx, const char *line)
{
	struct memory *memory = memory_of(ctx);
	char wish[WISH];

	if (!wants(SMFIP_NOUNKNOWN))
		return SMFIS_CONTINUE;
	memory->unknown = mix(memory->unknown, line);
	word(wish, line, " ");
	return verdict(ctx, wish, SMFIP_NR_UNKN);
}

/* A change that was not agreed to fails in the library and is left out. */
static void edit(SMFICTX *ctx, struct memory *memory, char *text)
{
	char *rest = text, *what = strsep(&rest, " "), *value;
	char spaced[4096];
	int index = 0;

	if (!rest)
		return;
	if (!strcmp(what, "insert") || !strcmp(what, "change") || !strcmp(what, "delete"))
		index = atoi(strsep(&rest, " "));
	if (!strcmp(what, "body")) {
		size_t size = strtoul(rest, NULL, 10);
		unsigned char *body = malloc(size + 1);
		if (!body)
			abort();
		for (size_t n = 0; n < size; n++)
			body[n] = "new body\r\n"[n % 10];
		(void)smfi_replacebody(ctx, body, (int)size);
		free(body);
		return;
	}
	value = rest;
	rest = strsep(&value, " ");
	snprintf(spaced, sizeof spaced, "%s%s", memory->protocol & SMFIP_HDR_LEADSPC ? " " : "", value ? value : "");
	if (!strcmp(what, "add"))
		(void)smfi_addheader(ctx, rest, spaced);
	else if (!strcmp(what, "insert"))
		(void)smfi_insheader(ctx, index, rest, spaced);
	else if (!strcmp(what, "change"))
		(void)smfi_chgheader(ctx, rest, index, spaced);
	else if (!strcmp(what, "delete"))
		(void)smfi_chgheader(ctx, rest, index, NULL);
	else if (!strcmp(what, "rcpt") && value)
		(void)smfi_addrcpt_par(ctx, rest, value);
	else if (!strcmp(what, "rcpt"))
		(void)smfi_addrcpt(ctx, rest);
	else if (!strcmp(what, "unrcpt"))
		(void)smfi_delrcpt(ctx, rest);
	else if (!strcmp(what, "from"))
		(void)smfi_chgfrom(ctx, rest, value);
}

static sfsistat on_eom(SMFICTX *ctx)
{
	static const char *const delivered[] = {"", "continue", "accept", "slow", "quarantine", NULL};
	struct memory *memory = memory_of(ctx);
	sfsistat said;

	mix_macro(ctx, &memory->macros, "i");
	mix_macro(ctx, &memory->macros, "{msg_id}");
	if (is_one_of(memory->end, delivered)) {
		char seen[SHOWN];
		show(seen, "add X-Seen", memory, 0);
		if (!strcmp(memory->end, "slow"))
			(void)smfi_progress(ctx);
		edit(ctx, memory, seen);
		for (int n = 0; n < memory->edit_count; n++)
			edit(ctx, memory, memory->edits[n]);
		if (!strcmp(memory->end, "quarantine"))
			(void)smfi_quarantine(ctx, "held for a look");
	}
	said = verdict(ctx, memory->end, 0);
	forget_message(memory);
	return said;
}

static sfsistat on_abort(SMFICTX *ctx)
{
	forget_message(memory_of(ctx));
	return SMFIS_CONTINUE;
}

static sfsistat on_close(SMFICTX *ctx)
{
	/* Not freed: this is called at QUIT_NC too, after which the connection goes on with what was agreed. */
	forget_session(memory_of(ctx));
	return SMFIS_CONTINUE;
}

int main(int argc, char **argv)
{
	struct smfiDesc filter = {
		.xxfi_name = "compared",
		.xxfi_version = SMFI_VERSION,
		.xxfi_connect = on_connect,
		.xxfi_helo = on_helo,
		.xxfi_envfrom = on_mail,
		.xxfi_envrcpt = on_rcpt,
		.xxfi_header = on_header,
		.xxfi_eoh = on_eoh,
		.xxfi_body = on_body,
		.xxfi_eom = on_eom,
		.xxfi_abort = on_abort,
		.xxfi_close = on_close,
		.xxfi_unknown = on_unknown,
		.xxfi_data = on_data,
		.xxfi_negotiate = on_negotiate,
	};

	if (argc != 4) {
		fprintf(stderr, "usage: filter SOCKET ACTIONS PROTOCOL\n");
		return EX_USAGE;
	}
	wanted_actions = strtoul(argv[2], NULL, 16);
	wanted_protocol = strtoul(argv[3], NULL, 16);
	filter.xxfi_flags = wanted_actions;
	if (smfi_setconn(argv[1]) != MI_SUCCESS || smfi_register(filter) != MI_SUCCESS) {
		fprintf(stderr, "filter: cannot set up the socket %s\n", argv[1]);
		return EX_UNAVAILABLE;
	}
	return smfi_main() == MI_SUCCESS ? EX_OK : EX_UNAVAILABLE;
}
