// Walk walks the operations that the official Go modules offer, with their checks left on.
//
//	walk URL CREDENTIAL CHAPTER...
//
// One line is printed for each operation that did what it should; the first that does not ends the program.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

// walker is what every chapter needs.
type walker struct {
	context.Context
	*azkeys.Client
	vault bool
}

var chapters = map[string]func(walker) error{
	"backup":       backUpAndRestore,
	"cryptography": walkAlgorithms,
	"import":       importEachType,
	"keys":         walkKeys,
	"random":       drawRandomBytes,
	"release":      attestAndRelease,
	"rotation":     rotate,
	"signature":    signInAndSign,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) < 3 {
		return errors.New("usage: walk URL CREDENTIAL CHAPTER...")
	}
	url := arguments[0]
	credential, err := signIn(arguments[1])
	if err != nil {
		return err
	}
	client, err := azkeys.NewClient(url, credential, nil)
	if err != nil {
		return err
	}
	for _, name := range arguments[2:] {
		chapter, found := chapters[name]
		if !found {
			return fmt.Errorf("there is no chapter %s", name)
		}
		w := walker{Context: context.Background(), Client: client, vault: strings.Contains(url, ".vault.")}
		if err := chapter(w); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// passed says that an operation did what it should.
func passed(words ...any) {
	fmt.Println(append([]any{"ok"}, words...)...)
}

// check is an error unless it is so.
func check(condition bool, what ...any) error {
	if condition {
		return nil
	}
	return errors.New(fmt.Sprint(what...))
}

// refused is an error unless the service answered with this status.
func refused(err error, status int) error {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) && answer.StatusCode == status {
		return nil
	}
	return fmt.Errorf("this should have been refused with %d: %w", status, err)
}
