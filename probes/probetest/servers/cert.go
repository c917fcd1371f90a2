package servers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CertOptions describe a certificate. The zero value is a self-signed RSA 2048 one for localhost and 127.0.0.1, valid from
// an hour ago for a day.
type CertOptions struct {
	CommonName     string    // "": the first host
	Hosts          []string  // names and addresses; nil: localhost, 127.0.0.1
	NotBefore      time.Time // zero: an hour ago
	NotAfter       time.Time // zero: a day after now
	ECDSA          bool      // P-256 instead of RSA 2048
	CA             bool      // may sign others
	Issuer         *Cert     // signs it; nil: self-signed
	RemoteDesktop  bool      // for Remote Desktop Authentication only, as a Windows authority may issue it, not for servers at large
	NegativeSerial bool      // serial number -1, which crypto/x509 refuses to parse; self-signed only
}

// Cert is a certificate with its key, also in files that servers read.
type Cert struct {
	CertFile string // PEM: the certificate, then its issuer's
	KeyFile  string // PEM, PKCS #8
	DER      []byte
	Leaf     *x509.Certificate // nil when NegativeSerial
	TLS      tls.Certificate
	key      crypto.Signer
}

// SelfSigned makes a certificate, in files that live as long as the test.
func SelfSigned(t testing.TB, o CertOptions) *Cert {
	t.Helper()
	c := &Cert{key: newKey(t, o.ECDSA)}
	template := o.template(t)
	parent, signer := template, c.key
	if o.Issuer != nil {
		parent, signer = o.Issuer.Leaf, o.Issuer.key
	}
	var err error
	if c.DER, err = x509.CreateCertificate(rand.Reader, template, parent, c.key.Public(), signer); err != nil {
		t.Fatal(err)
	}
	if o.NegativeSerial {
		c.DER = negateSerial(t, c.DER, c.key)
	} else if c.Leaf, err = x509.ParseCertificate(c.DER); err != nil {
		t.Fatal(err)
	}
	c.TLS = tls.Certificate{Certificate: [][]byte{c.DER}, PrivateKey: c.key, Leaf: c.Leaf}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.DER})
	if o.Issuer != nil {
		c.TLS.Certificate = append(c.TLS.Certificate, o.Issuer.DER)
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.Issuer.DER})...)
	}
	c.writeFiles(t, chain)
	return c
}

func (c *Cert) writeFiles(t testing.TB, chain []byte) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c.CertFile, c.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeFile(t, c.CertFile, chain)
	writeFile(t, c.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

func (o CertOptions) template(t testing.TB) *x509.Certificate {
	t.Helper()
	now := time.Now()
	if o.Hosts == nil {
		o.Hosts = []string{"localhost", "127.0.0.1"}
	}
	if o.CommonName == "" {
		o.CommonName = o.Hosts[0]
	}
	if o.NotBefore.IsZero() {
		o.NotBefore = now.Add(-time.Hour)
	}
	if o.NotAfter.IsZero() {
		o.NotAfter = now.Add(24 * time.Hour)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	if o.NegativeSerial {
		serial = big.NewInt(1) // one byte, which negateSerial turns into -1
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: o.CommonName}, NotBefore: o.NotBefore, NotAfter: o.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: o.CA,
	}
	if o.CA {
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
	}
	if o.RemoteDesktop {
		template.ExtKeyUsage, template.UnknownExtKeyUsage = nil, []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 311, 54, 1, 2}}
	}
	for _, host := range o.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template
}

func newKey(t testing.TB, ec bool) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if ec {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// negateSerial turns the serial number 1 of a certificate into -1 and signs it again: crypto/x509 does not make such a
// certificate, but old appliances did (RFC 5280, 4.1.2.2 forbids it).
func negateSerial(t testing.TB, der []byte, key crypto.Signer) []byte {
	t.Helper()
	var cert struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &cert); err != nil {
		t.Fatal(err)
	}
	tbs := cert.TBS.FullBytes
	// SEQUENCE header, [0] { INTEGER version }, then the serial's INTEGER header: its one byte of content comes next
	at := len(tbs) - len(cert.TBS.Bytes) + 5 + 2
	if tbs[at-2] != asn1.TagInteger || tbs[at-1] != 1 || tbs[at] != 1 {
		t.Fatalf("the certificate's serial number is not where it should be: % x", tbs[:at+1])
	}
	tbs[at] = 0xFF
	sum := sha256.Sum256(tbs)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	cert.TBS = asn1.RawValue{FullBytes: tbs}
	cert.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	if der, err = asn1.Marshal(cert); err != nil {
		t.Fatal(err)
	}
	return der
}

// writeFile writes a file that a server reads.
func writeFile(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
