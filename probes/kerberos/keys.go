package kerberos

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/types"
)

// The encryption types that are offered, the best first as Windows and MIT have it: with a password, and with an NT hash only.
var (
	passwordEtypes = []int32{
		etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA1_96, etypeID.AES256_CTS_HMAC_SHA384_192,
		etypeID.AES128_CTS_HMAC_SHA256_128, etypeID.RC4_HMAC,
	}
	hashEtypes = []int32{etypeID.RC4_HMAC}
)

var etypeNames = map[int32]string{
	etypeID.AES256_CTS_HMAC_SHA1_96: "aes256-cts-hmac-sha1-96", etypeID.AES128_CTS_HMAC_SHA1_96: "aes128-cts-hmac-sha1-96",
	etypeID.AES256_CTS_HMAC_SHA384_192: "aes256-cts-hmac-sha384-192", etypeID.AES128_CTS_HMAC_SHA256_128: "aes128-cts-hmac-sha256-128",
	etypeID.RC4_HMAC: "rc4-hmac",
}

// maxIterations bounds the work of a key derivation. The number comes from the KDC, before anything is proven: 4096 is usual,
// 32768 that of RFC 8009, and 2^32 would keep a processor busy for an hour.
const maxIterations = 1 << 17

// hint is how a KDC says that a key is derived (ETYPE-INFO2, RFC 4120 5.2.7.5).
type hint struct {
	etype  int32
	salt   string
	params []byte
}

// hints reads what padata says about keys; timestamp reports whether an encrypted timestamp is taken.
func hints(padata types.PADataSequence) (all []hint, timestamp bool, err error) {
	for _, pa := range padata {
		switch pa.PADataType {
		case patype.PA_ENC_TIMESTAMP:
			timestamp = true
		case patype.PA_ETYPE_INFO2:
			entries, err := pa.GetETypeInfo2()
			if err != nil {
				return nil, false, err
			}
			for _, e := range entries {
				all = append(all, hint{e.EType, e.Salt, e.S2KParams})
			}
		}
	}
	return all, timestamp, nil
}

// methods decodes the METHOD-DATA of a KRB-ERROR.
func methods(data []byte) (padata types.PADataSequence, err error) {
	return padata, padata.Unmarshal(data)
}

// choose returns the first of the KDC's hints that the account's secret allows: their order is the KDC's preference.
func (a *Account) choose(all []hint) (hint, bool) {
	i := slices.IndexFunc(all, func(h hint) bool { return slices.Contains(a.etypes(), h.etype) })
	if i < 0 {
		return hint{}, false
	}
	return all[i], true
}

func (a *Account) etypes() []int32 {
	if a.Password.IsZero() {
		return hashEtypes
	}
	return passwordEtypes
}

// key derives the account's key.
func (a *Account) key(h hint) (types.EncryptionKey, error) {
	none := types.EncryptionKey{}
	if !slices.Contains(a.etypes(), h.etype) {
		return none, &ProtocolError{"the kdc uses an encryption type that was not offered"}
	}
	if h.etype == etypeID.RC4_HMAC {
		return types.EncryptionKey{KeyType: h.etype, KeyValue: a.Hash()}, nil // RFC 4757 section 2: it is the NT hash
	}
	et, err := crypto.GetEtype(h.etype)
	if err != nil {
		return none, err
	}
	params := et.GetDefaultStringToKeyParams()
	if len(h.params) > 0 {
		if len(h.params) != 4 {
			return none, &ProtocolError{"the kdc's parameters for deriving a key are malformed"}
		}
		if n := binary.BigEndian.Uint32(h.params); n == 0 || n > maxIterations {
			return none, &ProtocolError{fmt.Sprintf("the kdc wants a key to be derived in more than %d rounds", maxIterations)}
		}
		params = hex.EncodeToString(h.params)
	}
	salt := h.salt
	if salt == "" {
		salt = a.principal().GetSalt(a.Realm)
	}
	value, err := et.StringToKey(a.Password.Reveal(), salt, params)
	return types.EncryptionKey{KeyType: h.etype, KeyValue: value}, err
}

// extended returns the NTSTATUS in the e-data of a KRB-ERROR of Windows: KERB-ERROR-DATA with a KERB-EXT-ERROR, which begins
// with it ([MS-KILE] 2.2.1, 2.2.2); 0 when there is none.
func extended(data []byte) uint32 {
	var e struct {
		Type  int    `asn1:"explicit,tag:1"`
		Value []byte `asn1:"explicit,optional,tag:2"`
	}
	const typeExtended = 3
	if _, err := asn1.Unmarshal(data, &e); err != nil || e.Type != typeExtended || len(e.Value) < 4 {
		return 0
	}
	return binary.LittleEndian.Uint32(e.Value)
}
