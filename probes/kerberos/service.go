package kerberos

import (
	"context"
	"errors"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// ReferralError is a KDC that says that the service is in another realm (RFC 6806 section 8). Realm is not escaped.
type ReferralError struct{ Realm string }

// Error says so.
func (e *ReferralError) Error() string { return "the kdc refers to another realm" }

// Service asks for a ticket for a service principal, such as TERMSRV/host. Errors are *KDCError; a *Error in it is the KDC's
// refusal, a *ReferralError says that another realm would have to be asked. It may be called again, after Logon has succeeded.
func (x *Exchange) Service(ctx context.Context, principal string) error {
	if err := x.service(ctx, types.NewPrincipalName(nametype.KRB_NT_SRV_INST, principal)); err != nil {
		return &KDCError{x.KDC, err}
	}
	return nil
}

func (x *Exchange) service(ctx context.Context, name types.PrincipalName) error {
	if x.ticket == nil {
		return errors.New("there was no log-on")
	}
	var message []byte
	var nonce int
	if err := safely(func() (err error) {
		message, nonce, err = x.ticketRequest(name)
		return err
	}); err != nil {
		return err
	}
	r, err := x.converse(ctx, message)
	switch {
	case err != nil:
		return err
	case r.tgs == nil:
		return &ProtocolError{"the kdc answers another question than was asked"}
	}
	err = safely(func() error { return r.tgs.DecryptEncPart(x.ticket.DecryptedEncPart.Key) })
	if violation, ok := errors.AsType[*ProtocolError](err); ok {
		return violation
	}
	if err != nil {
		return ErrNotProven
	}
	part := r.tgs.DecryptedEncPart
	got := part.SName.NameString
	switch {
	case part.Nonce != nonce:
		return &ProtocolError{"the kdc's reply is not to the question that was asked"}
	case sameName(part.SName, name):
		return nil
	case len(got) == 2 && got[0] == "krbtgt":
		return &ReferralError{got[1]}
	}
	return &ProtocolError{"the kdc gives a ticket for another service than was asked for"}
}

// ticketRequest builds a TGS-REQ (RFC 4120 3.3.1, 5.4.1). gokrb5's own takes the time from this host's clock.
func (x *Exchange) ticketRequest(name types.PrincipalName) (message []byte, nonce int, err error) {
	session := x.ticket.DecryptedEncPart.Key
	if nonce, err = newNonce(); err != nil {
		return nil, 0, err
	}
	now := x.time()
	request := messages.TGSReq{KDCReqFields: messages.KDCReqFields{
		PVNO: iana.PVNO, MsgType: msgtype.KRB_TGS_REQ,
		ReqBody: messages.KDCReqBody{
			KDCOptions: options(true),
			Realm:      x.ticket.Ticket.Realm,
			SName:      name,
			Till:       now.Add(lifetime),
			Nonce:      nonce,
			EType:      passwordEtypes, // any: the ticket's key is the service's
		},
	}}
	body, err := request.ReqBody.Marshal()
	if err != nil {
		return nil, 0, err
	}
	et, err := crypto.GetEtype(session.KeyType)
	if err != nil {
		return nil, 0, &ProtocolError{"the kdc gives a key of an encryption type that was not offered"}
	}
	sum, err := et.GetChecksumHash(session.KeyValue, body, keyusage.TGS_REQ_PA_TGS_REQ_AP_REQ_AUTHENTICATOR_CHKSUM)
	if err != nil {
		return nil, 0, err
	}
	auth, err := types.NewAuthenticator(x.ticket.CRealm, x.ticket.CName)
	if err != nil {
		return nil, 0, err
	}
	auth.CTime, auth.Cusec = now.Truncate(time.Second), now.Nanosecond()/1000
	auth.Cksum = types.Checksum{CksumType: et.GetHashID(), Checksum: sum}
	proof, err := messages.NewAPReq(x.ticket.Ticket, session, auth)
	if err != nil {
		return nil, 0, err
	}
	value, err := proof.Marshal()
	if err != nil {
		return nil, 0, err
	}
	request.PAData = types.PADataSequence{{PADataType: patype.PA_TGS_REQ, PADataValue: value}}
	message, err = request.Marshal()
	return message, nonce, err
}
